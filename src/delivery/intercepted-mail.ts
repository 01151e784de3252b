import type { Address, AddressesInput, AddressInput } from '../message/address.js';
import type { Limits } from '../message/limits.js';
import type { Attachment, AttachmentInput, Lane, Message, Source } from '../message/message.js';
import { atHand } from '../message/attachments.js';
import { parseMessage, type MessageRules } from '../message/parse.js';
import type { Draft } from './interception.js';

/** An attachment as an interceptor sees it. */
export interface InterceptedAttachment extends AttachmentInput {
  /** Shared by all mails of a campaign: not to be written to. */
  readonly content: Buffer;
  readonly contentDisposition: 'attachment' | 'inline';
}

/** A message that is about to be sent, whole: merged and rendered. Frozen. */
export interface InterceptedMail {
  readonly id: string;
  /** The header, angle brackets included. */
  readonly messageId: string;
  /** `bulk` for everything that comes from the queue, overflow of the priority lane among it. */
  readonly lane: Lane;
  readonly campaignId?: string;
  /** The mail class or the template that it is rendered from. */
  readonly source?: Readonly<Source>;
  readonly from: Address;
  readonly to: readonly Address[];
  readonly cc: readonly Address[];
  readonly bcc: readonly Address[];
  readonly replyTo: readonly Address[];
  readonly subject: string;
  readonly text?: string;
  readonly html?: string;
  /** Those that are not written from the other fields. Of a name that comes several times, a list. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly attachments: readonly InterceptedAttachment[];
}

/** What an interceptor changes; in the shapes and by the rules of `send()`. A field that is undefined is taken out. */
export interface MailChanges {
  from?: AddressInput;
  to?: AddressesInput;
  cc?: AddressesInput;
  bcc?: AddressesInput;
  replyTo?: AddressesInput;
  subject?: string;
  text?: string;
  html?: string;
  /** All of them, in place of those that are there. */
  headers?: Readonly<Record<string, string | readonly string[]>>;
  /** All of them, in place of those that are there. */
  attachments?: readonly AttachmentInput[];
}

const CHANGEABLE: ReadonlySet<string> = new Set<keyof MailChanges>([
  ...(['from', 'to', 'cc', 'bcc', 'replyTo'] as const),
  ...(['subject', 'text', 'html', 'headers', 'attachments'] as const),
]);

/** What an interceptor is shown. */
export function mailOf({ id, messageId, lane, campaignId, source, message }: Draft): InterceptedMail {
  return Object.freeze({
    id,
    messageId,
    lane,
    ...(campaignId === undefined ? {} : { campaignId }),
    ...(source ? { source: Object.freeze({ ...source }) } : {}),
    ...contentOf(message),
  });
}

type Shown = Omit<InterceptedMail, 'id' | 'messageId' | 'lane' | 'campaignId' | 'source'>;

function contentOf({ from, to, cc, bcc, replyTo, subject, text, html, headers, attachments }: Message): Shown {
  return {
    from: frozen(from),
    to: frozenList(to),
    cc: frozenList(cc),
    bcc: frozenList(bcc),
    replyTo: frozenList(replyTo),
    subject,
    ...(text === undefined ? {} : { text }),
    ...(html === undefined ? {} : { html }),
    headers: headersOf(headers),
    attachments: Object.freeze(attachments.map(shown)),
  };
}

/** Its bytes are looked up when somebody looks at them. */
function shown(attachment: Attachment): InterceptedAttachment {
  const { filename, contentType, cid, disposition } = attachment;
  return Object.freeze({
    ...(filename === undefined ? {} : { filename }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(cid === undefined ? {} : { cid }),
    get content() {
      return attachment.content;
    },
    contentDisposition: disposition,
  });
}

function headersOf(headers: Message['headers']): InterceptedMail['headers'] {
  const lists = new Map<string, string[]>();
  for (const [name, value] of headers) lists.set(name, [...(lists.get(name) ?? []), value]);
  return Object.freeze(
    Object.fromEntries([...lists].map(([name, values]) => [name, values.length === 1 ? values[0]! : frozen(values)])),
  );
}

function frozenList<T extends object>(list: readonly T[]): readonly T[] {
  return Object.freeze(list.map(frozen));
}

/** A copy: what it is made from may be shared by a whole batch. */
function frozen<T extends object>(value: T): T {
  return Object.freeze(Array.isArray(value) ? ([...value] as unknown as T) : { ...value });
}

/** The fields that an interceptor must leave alone and has not: a whole mail with some of its fields changed is fine. */
export function wrongFields(mail: InterceptedMail, changes: object): string[] {
  return Object.entries(changes)
    .filter(([field, value]) => !CHANGEABLE.has(field) && value !== mail[field as keyof InterceptedMail])
    .map(([field]) => field);
}

/**
 * The message with what an interceptor changes about it, checked like what `send()` is given. What is large already may stay so.
 *
 * @param message what the interceptor was shown
 * @throws MailValidationError with every fault
 */
export async function changedMessage(
  mail: InterceptedMail,
  changes: MailChanges,
  rules: MessageRules,
  message: Message,
): Promise<Message> {
  const input = Object.fromEntries(Object.entries({ ...mail, ...changes }).filter(([field]) => CHANGEABLE.has(field)));
  const keepsAttachments = input['attachments'] === mail.attachments;
  if (keepsAttachments) delete input['attachments'];
  const { from, to, cc, bcc, replyTo, subject, text, html, headers, attachments } = parseMessage(input, {
    ...rules,
    limits: limitsFor(mail, rules.limits, keepsAttachments ? [] : mail.attachments),
    from: mail.from,
  });
  return {
    ...{ from, to, cc, bcc, replyTo, subject, headers },
    attachments: keepsAttachments ? message.attachments : await atHand(attachments),
    ...(text === undefined ? {} : { text }),
    ...(html === undefined ? {} : { html }),
  };
}

/** Those of `redirectTo()`. */
const MORE_HEADERS = 3;

/**
 * Mails are made larger than any that is sent: a mail class and its caller both give headers and attachments, a campaign fills
 * in fields, and another process may have other limits.
 */
function limitsFor(
  mail: InterceptedMail,
  limits: Limits,
  attachments: readonly Pick<InterceptedAttachment, 'content'>[],
): Limits {
  const { to, cc, bcc, subject, text = '', html = '' } = mail;
  const headers = Object.values(mail.headers).flat();
  const bytes = (value: string): number => Buffer.byteLength(value);
  return {
    ...limits,
    recipients: Math.max(limits.recipients, to.length + cc.length + bcc.length),
    subjectBytes: Math.max(limits.subjectBytes, bytes(subject)),
    bodyBytes: Math.max(limits.bodyBytes, bytes(text), bytes(html)),
    headers: Math.max(limits.headers, headers.length + MORE_HEADERS),
    headerBytes: Math.max(limits.headerBytes, ...headers.map((value) => bytes(value))),
    attachments: Math.max(limits.attachments, attachments.length),
    attachmentBytes: Math.max(
      limits.attachmentBytes,
      attachments.reduce((sum, { content }) => sum + content.length, 0),
    ),
  };
}
