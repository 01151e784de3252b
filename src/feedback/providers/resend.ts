import { createHmac } from 'node:crypto';
import { MailConfigError } from '../../errors.js';
import type { Feedback, FeedbackType } from '../feedback.js';
import { FeedbackRefusal, type FeedbackRequest, type FeedbackSource } from '../source.js';
import {
  checkAge,
  fieldsIn,
  fieldsOf,
  header,
  isSame,
  parseBody,
  requireSecrets,
  saidBy,
  textIn,
  textOf,
  timeOf,
  type Fields,
} from './webhook.js';

export interface ResendFeedbackOptions {
  /** The webhook's signing secret, `whsec_…`; several while it is changed. */
  secret: string | readonly string[];
  /** The last part of its path. Default `'resend'`. */
  name?: string;
}

const TYPES: Readonly<Record<string, FeedbackType>> = {
  'email.bounced': 'bounced',
  // It is on Resend's own list, and was not even tried.
  'email.suppressed': 'bounced',
  // It took the mail and could not send it, such as for its quota, or the domain's.
  'email.failed': 'bounced',
  'email.complained': 'complained',
  'email.delivered': 'delivered',
  'email.opened': 'opened',
  'email.clicked': 'clicked',
};

/** Webhooks of Resend, signed as by Standard Webhooks (Svix). */
export class ResendFeedback implements FeedbackSource {
  readonly name: string;
  private readonly keys: readonly Buffer[];

  /** @throws MailConfigError */
  constructor({ secret, name = 'resend' }: ResendFeedbackOptions) {
    this.name = name;
    this.keys = requireSecrets(secret, 'secret', REMEDY).map(keyOf);
  }

  // Async, so that what is refused is a rejection.
  async read(request: FeedbackRequest): Promise<Feedback[]> {
    const id = this.verify(request);
    const event = fieldsOf(parseBody(request.body), 'The body');
    const type = TYPES[textOf(event, 'type')];
    if (type === undefined) return [];
    const data = fieldsOf(event['data'], 'data');
    const addresses = recipientsOf(data);
    const match = matchOf(data);
    const at = timeAt(event, data);
    return addresses.flatMap((address) => {
      const said = detailsOf(type, data, address, addresses.length === 1);
      if (!said) return [];
      const key = addresses.length === 1 ? `${this.name}/${id}` : `${this.name}/${id}/${address}`;
      return [{ key, type, source: this.name, address, at, match, ...said }];
    });
  }

  /** @returns the id of the event */
  private verify(request: FeedbackRequest): string {
    const id = header(request, 'svix-id', 'webhook-id');
    const timestamp = header(request, 'svix-timestamp', 'webhook-timestamp');
    const given = header(request, 'svix-signature', 'webhook-signature')
      .split(' ')
      .flatMap((one) => (one.startsWith('v1,') ? [one.slice(3)] : []));
    const signed = this.keys.map((key) =>
      createHmac('sha256', key).update(`${id}.${timestamp}.`).update(request.body).digest('base64'),
    );
    const isSigned = signed.some((signature) => given.some((one) => isSame(one, signature)));
    if (!isSigned) throw new FeedbackRefusal('forged', 'No signature of the request is made with the secret');
    checkAge(timestamp, request.now);
    return id;
  }
}

const REMEDY = 'Give the signing secret of the webhook, whsec_….';

function keyOf(secret: string): Buffer {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  if (key.length < 16) throw new MailConfigError(`The feedback option secret is no signing secret. ${REMEDY}`);
  return key;
}

function recipientsOf(data: Fields): string[] {
  const to = data['to'];
  const list: readonly unknown[] = Array.isArray(to) ? to : [to];
  if (list.length > 0 && list.every((one) => typeof one === 'string' && one !== '')) return list as string[];
  throw new FeedbackRefusal('malformed', 'data.to names no recipient');
}

/** Of a click when it was made; else when it was reported. */
function timeAt(event: Fields, data: Fields): Date {
  const click = fieldsIn(data['click']);
  return textIn(click, 'timestamp') === undefined ? timeOf(event, 'created_at') : timeOf(click, 'timestamp');
}

function matchOf(data: Fields): Feedback['match'] {
  const messageId = textIn(data, 'message_id');
  return { providerId: textOf(data, 'email_id'), ...(messageId === undefined ? {} : { messageId }) };
}

/** Undefined where it is not told whom of several it is about. */
function detailsOf(type: FeedbackType, data: Fields, address: string, sole: boolean): Partial<Feedback> | undefined {
  if (type === 'clicked') {
    const url = textIn(fieldsIn(data['click']), 'link');
    return url === undefined ? {} : { url };
  }
  if (type !== 'bounced') return type === 'complained' && !sole ? undefined : {};
  if (data['failed'] !== undefined) return { permanent: false, ...saidBy(textIn(fieldsIn(data['failed']), 'reason')) };
  const bounce = fieldsIn(data['bounce'] ?? data['suppressed']);
  const diagnostics: readonly unknown[] = Array.isArray(bounce['diagnosticCode']) ? bounce['diagnosticCode'] : [];
  const words = [...diagnostics.filter((one) => typeof one === 'string'), textIn(bounce, 'message')];
  const about = words.find((one) => one?.toLowerCase().includes(address.toLowerCase()));
  if (!sole && about === undefined) return undefined;
  const permanent = textIn(bounce, 'type') === 'Permanent' || data['suppressed'] !== undefined;
  return { permanent, ...saidBy(about ?? words.find((one) => one !== undefined)) };
}
