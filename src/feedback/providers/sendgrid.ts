import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { MailConfigError } from '../../errors.js';
import type { Feedback, FeedbackMatch } from '../feedback.js';
import { FeedbackRefusal, type FeedbackRequest, type FeedbackSource } from '../source.js';
import {
  checkAge,
  fieldsOf,
  header,
  parseBody,
  requireSecrets,
  saidBy,
  textIn,
  textOf,
  type Fields,
} from './webhook.js';

export interface SendGridFeedbackOptions {
  /** The verification key of the signed event webhook, as SendGrid shows it (base64) or as PEM; several while it is changed. */
  publicKey: string | readonly string[];
  /** The last part of its path. Default `'sendgrid'`. */
  name?: string;
}

/** The event webhook of SendGrid, signed with ECDSA; some events at a time. */
export class SendGridFeedback implements FeedbackSource {
  readonly name: string;
  private readonly keys: readonly KeyObject[];

  /** @throws MailConfigError */
  constructor({ publicKey, name = 'sendgrid' }: SendGridFeedbackOptions) {
    this.name = name;
    this.keys = requireSecrets(publicKey, 'publicKey', REMEDY).map(keyOf);
  }

  // Async, so that what is refused is a rejection.
  async read(request: FeedbackRequest): Promise<Feedback[]> {
    this.verify(request);
    const events = parseBody(request.body);
    if (!Array.isArray(events)) throw new FeedbackRefusal('malformed', 'The body is no list of events');
    return events.flatMap((entry: unknown) => {
      const event = fieldsOf(entry, 'An event');
      const told = toldBy(event);
      return told
        ? [{ ...told, key: `${this.name}/${textOf(event, 'sg_event_id')}`, source: this.name, match: matchOf(event) }]
        : [];
    });
  }

  private verify(request: FeedbackRequest): void {
    const signature = Buffer.from(header(request, 'x-twilio-email-event-webhook-signature'), 'base64');
    const timestamp = header(request, 'x-twilio-email-event-webhook-timestamp');
    const signed = Buffer.concat([Buffer.from(timestamp), request.body]);
    if (!this.keys.some((key) => verify('sha256', signed, key, signature))) {
      throw new FeedbackRefusal('forged', 'The signature of the request is not made with the key');
    }
    checkAge(timestamp, request.now);
  }
}

const REMEDY = 'Give the verification key of the signed event webhook, as SendGrid shows it.';

function keyOf(publicKey: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    const isPem = publicKey.includes('-----BEGIN');
    key = createPublicKey(isPem ? publicKey : { key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  } catch (error) {
    throw new MailConfigError(`The feedback option publicKey is no public key. ${REMEDY}`, { cause: error });
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new MailConfigError(`The feedback option publicKey is no key of the curve P-256. ${REMEDY}`);
  }
  return key;
}

type Told = Omit<Feedback, 'key' | 'source' | 'match'>;

/** Undefined: there is no news in it. */
function toldBy(event: Fields): Told | undefined {
  const about = (): Pick<Told, 'address' | 'at'> => ({ address: textOf(event, 'email'), at: timeOf(event) });
  switch (textOf(event, 'event')) {
    case 'bounce':
      return { type: 'bounced', ...about(), permanent: isHard(event), ...wordsOf(event) };
    case 'dropped':
      return droppedIn(event, about());
    case 'delivered':
      return { type: 'delivered', ...about(), ...saidBy(textIn(event, 'response')) };
    case 'open':
      return { type: 'opened', ...about() };
    case 'click': {
      const url = textIn(event, 'url');
      return { type: 'clicked', ...about(), ...(url === undefined ? {} : { url }) };
    }
    case 'spamreport':
      return { type: 'complained', ...about() };
    case 'unsubscribe':
    case 'group_unsubscribe':
      return { type: 'unsubscribed', ...about() };
    default:
      return undefined;
  }
}

/** A block is the server's or its network's, and the address may be good. */
function isHard(event: Fields): boolean {
  return textIn(event, 'type') !== 'blocked' && !textIn(event, 'status')?.startsWith('4');
}

/** It was not even tried, for what is known of the address. */
function droppedIn(event: Fields, about: Pick<Told, 'address' | 'at'>): Told {
  const reason = textIn(event, 'reason') ?? '';
  if (/^unsubscribed address/i.test(reason)) return { type: 'unsubscribed', ...about };
  if (/^spam reporting address/i.test(reason)) return { type: 'complained', ...about };
  return { type: 'bounced', ...about, permanent: /^(bounced address|invalid$)/i.test(reason), ...wordsOf(event) };
}

function wordsOf(event: Fields): Pick<Told, 'enhancedCode' | 'reply'> {
  const status = /^[245]\.\d{1,3}\.\d{1,3}$/.exec(textIn(event, 'status') ?? '')?.[0];
  return { ...saidBy(textIn(event, 'reason')), ...(status === undefined ? {} : { enhancedCode: status }) };
}

function timeOf({ timestamp }: Fields): Date {
  if (typeof timestamp === 'number' && timestamp > 0 && timestamp < 1e11) return new Date(timestamp * 1_000);
  throw new FeedbackRefusal('malformed', 'timestamp is no number of seconds');
}

/** The id that a request was answered with is the first part of those of its recipients. */
function matchOf(event: Fields): FeedbackMatch {
  const messageId = textIn(event, 'smtp-id');
  const providerId = textIn(event, 'sg_message_id')?.replace(/\.(filter|recvd).*$/, '');
  return {
    ...(messageId === undefined ? {} : { messageId }),
    ...(providerId === undefined ? {} : { providerId }),
  };
}
