import type {
  BulkMailInput,
  MailContentInput,
  MailMessageInput,
  Message,
  RecipientInput,
} from '../../message/message.js';
import { atHand } from '../../message/attachments.js';
import { parseBulk, type MessageRules } from '../../message/parse.js';
import { parseRecipient } from '../../message/recipient.js';
import { Press } from '../../mime/press.js';

/** In place of the recipient's own, which is made when it is sent. */
const LINK = 'https://unsubscribe.invalid/';

/** What a campaign says, and whom it is for. */
export type CampaignContent = MailContentInput & Pick<BulkMailInput, 'list'>;

/**
 * What a campaign's recipient gets, as a message of its own: their values merged, or beside those that all share where a
 * template renders.
 *
 * @throws MailValidationError
 * @throws MergeError a field has no value
 */
export async function mailTo(
  recipient: RecipientInput,
  { list: _, ...content }: CampaignContent,
  rules: MessageRules,
): Promise<MailMessageInput> {
  const { to, context, locale } = recipient;
  if (content.template !== undefined) {
    return { ...content, to, context: { ...content.context, ...context }, ...(locale === undefined ? {} : { locale }) };
  }
  const bulk = parseBulk({ ...content, recipients: [] }, rules);
  const parsed = parseRecipient(recipient, 0, rules.limits, {});
  if ('faults' in parsed) throw new TypeError('The recipient is not checked.');
  const { to: address } = parsed.recipient;
  const attachments = await atHand(bulk.attachments);
  const press = new Press({ ...bulk, attachments }, { cc: [], bcc: [], date: new Date(), merge: bulk.missingFields });
  const link = content.unsubscribe === true ? { unsubscribeUrl: LINK } : {};
  const data = { context: { ...context, ...link }, group: {}, recipient: address.address };
  return { ...inputOf(press.message({ to: [address], data })), to };
}

function inputOf({ from, replyTo, subject, text, html, headers, attachments }: Message): MailMessageInput {
  const grouped: Record<string, string[]> = {};
  for (const [name, value] of headers) (grouped[name] ??= []).push(value);
  return {
    from,
    subject,
    headers: grouped,
    attachments: attachments.map(({ disposition, ...rest }) => ({ ...rest, contentDisposition: disposition })),
    ...(replyTo.length > 0 ? { replyTo } : {}),
    ...(text === undefined ? {} : { text }),
    ...(html === undefined ? {} : { html }),
  };
}
