import type { Readable } from 'node:stream';
import type { TraceContext } from '../events/tracer.js';
import type { Address, AddressInput, AddressesInput } from './address.js';
import type { Duration } from './duration.js';
import type { UnreadContent } from './unread-content.js';
import type { UnsubscribeInput, UnsubscribeSettings } from './unsubscribe.js';

/** How a message travels: `priority` while the caller waits, `bulk` through the queue. */
export type Lane = 'priority' | 'bulk';
export const LANES: readonly Lane[] = ['priority', 'bulk'];

/** The order inside the bulk lane. */
export type Urgency = 'high' | 'normal' | 'low';
export const URGENCIES: readonly Urgency[] = ['high', 'normal', 'low'];

/** nodemailer's attachment fields. A path is read only inside `attachments.allowedDir`; a URL never. */
export interface AttachmentInput {
  filename?: string;
  /** Bytes, text, or a stream that is read once, when the message is accepted. */
  content?: string | Uint8Array | Readable;
  /** A file inside the application's `attachments.allowedDir`. */
  path?: string;
  /** Of a string `content`. Default `utf8`. */
  encoding?: 'utf8' | 'base64' | 'hex';
  contentType?: string;
  /** Makes it an inline image, referenced in the HTML as `cid:<value>`. */
  cid?: string;
  contentDisposition?: 'attachment' | 'inline';
}

/**
 * What a message says, and when and how it goes: the part that many recipients can share. `sendBulk()` fills `{{merge}}` fields
 * in `from`, `replyTo`, `subject`, `text`, `html` and the values of `headers`; `send()` leaves them as they are.
 */
export interface MailContentInput {
  /** Default: the module's `from`. */
  from?: AddressInput;
  replyTo?: AddressesInput;
  subject?: string;
  text?: string;
  /** `{{field}}` is escaped; `{{{field}}}` is not, for HTML that the template's author trusts. */
  html?: string;
  /**
   * Renders subject, text and HTML from a template of that name (`templates`), where the mail is sent: in the worker for queued
   * mail. What is given here beside it goes before what the template says.
   */
  template?: string;
  /** The template's values. Plain JSON. In a campaign those that all recipients share; a recipient's own go before them. */
  context?: object;
  /** The language to render in, such as `ko` or `en-GB`; in a campaign of recipients that name none. */
  locale?: string;
  /** Beside those that are written from the other fields, which are refused here. */
  headers?: Record<string, string | readonly string[]>;
  attachments?: readonly AttachmentInput[];
  /**
   * Writes the headers by which mail programs unsubscribe their reader (RFC 2369, RFC 8058), with a link that is the recipient's own:
   * `true` for the ways of the module's option `unsubscribe`, or other ones. The link for the body is `{{unsubscribeUrl}}`. A message
   * of `send()` has one recipient then. Default false.
   */
  unsubscribe?: UnsubscribeInput;
  /** Forces one transport by name. */
  transport?: string;
  /** Not before this time (bulk lane). A Date, or anything `new Date()` reads. */
  sendAt?: Date | string | number;
  /** Not before this long from now (bulk lane). */
  delay?: Duration;
  /** Worthless after this time: ends as `expired` instead of being sent. */
  expiresAt?: Date | string | number;
  /** Order inside the bulk lane. Default `normal` for `send()`, `low` for `sendBulk()`. */
  urgency?: Urgency;
}

/** What `send()` takes: nodemailer's field names plus the lane's. */
export interface MailMessageInput extends MailContentInput {
  to?: AddressesInput;
  cc?: AddressesInput;
  bcc?: AddressesInput;
  /** Default: the module's `defaultLane`. */
  lane?: Lane;
  /**
   * The same key is the same mail: within `idempotencyTtl` a second `send()` with it, in either lane and from any process on
   * the same store, returns the first one's receipt and sends nothing. At most 200 characters.
   */
  idempotencyKey?: string;
}

/** One recipient of a campaign. */
export interface RecipientInput {
  /** One address. */
  to: AddressInput;
  /**
   * Values of the `{{merge}}` fields, looked up here before the group. With a `template`, its values: each field of them is
   * looked for here, then in the group, then in the campaign's `context`. JSON of at most `limits.contextBytes`.
   */
  context?: object;
  /** The language to render in. Default: the campaign's. */
  locale?: string;
  /** The key of this recipient's entry in `groups`. */
  group?: string;
  /** What makes two entries the same recipient. At most 255 characters. Default: the address. */
  idempotencyKey?: string;
}

/** What `sendBulk()` takes: one message for many, each of whom gets a mail of their own. */
export interface BulkMailInput extends MailContentInput {
  /**
   * Letters, digits, `_` and `-`, at most 64. The same id again continues an interrupted campaign; one that was queued
   * completely is left as it is, whatever the source gives now. It is known for 90 days after its messages are past retention
   * (`queue.keep`), and after each call with its id; later the id is a new campaign's. Default: random.
   */
  id?: string;
  /** For people: shown in reports. At most 200 characters. */
  name?: string;
  /**
   * The mailing list that the campaign is for: letters, digits, `.`, `_` and `-`, at most 64. Who is suppressed for that list
   * alone gets no mail of it, and all other mail. Default: none.
   */
  list?: string;
  /**
   * An array, a generator, a database cursor, a Node.js stream in object mode. Read no faster than the queue takes them. An
   * invalid one is in the receipt and does not stop the others; a source that throws ends the call with `SOURCE_FAILED`.
   */
  recipients: Iterable<RecipientInput> | AsyncIterable<RecipientInput>;
  /** Data shared by many recipients, stored once a batch. A recipient names its entry with `group`. */
  groups?: Record<string, object>;
  /** What a `{{field}}` without a value becomes: that recipient ends as `failed`, or the place stays empty. Not with a `template`. Default `'error'`. */
  missingFields?: 'error' | 'empty';
  /** Stops the queueing with the error `ABORTED`; what is queued stays, and the same `id` continues. */
  signal?: AbortSignal;
  /** Called after each flush with the number of recipients durably queued so far. What it throws is logged, and stops nothing. */
  onProgress?: (progress: { campaignId: string; queued: number }) => unknown;
}

/** An attachment whose bytes are at hand. */
export interface Attachment {
  filename?: string;
  contentType?: string;
  cid?: string;
  disposition: 'attachment' | 'inline';
  content: Buffer;
}

/** An attachment that was accepted: its bytes are at hand, or still to be read, once. */
export type AcceptedAttachment = Omit<Attachment, 'content'> & { content: Buffer | UnreadContent };

/** The checked, shareable part of a message. */
export interface Content {
  from: Address;
  replyTo: Address[];
  subject: string;
  text?: string;
  html?: string;
  headers: [name: string, value: string][];
  attachments: Attachment[];
}

/** What a message is rendered from when it is sent: a mail class, or a template, by its name. */
export interface Source {
  kind: 'mail' | 'template';
  name: string;
}

/** A message that is rendered when it is sent. What the message says itself goes before what is rendered. */
export interface Rendering {
  source: Source;
  /** Of a mail class its data, of a template its values: plain JSON. */
  context?: unknown;
  locale?: string;
  /** The message names its sender itself. Otherwise a sender that is rendered goes before the one it has. */
  ownSender?: true;
  /** Its reader's own. */
  unsubscribeUrl?: string;
}

/** The mail class that a message is made by, and what of. */
export interface MailUse {
  name: string;
  /** In a campaign what all recipients share. Undefined: none. */
  data?: unknown;
}

/** What one of several messages says itself, instead of what they share. */
export interface OwnParts {
  subject?: string;
  text?: string;
  html?: string;
}

/** Those that are there, alone. */
export function ownParts({ subject, text, html }: OwnParts): OwnParts {
  const parts: OwnParts = {};
  if (subject !== undefined) parts.subject = subject;
  if (text !== undefined) parts.text = text;
  if (html !== undefined) parts.html = html;
  return parts;
}

/** A checked message, as it is encoded and sent. `to`, `cc` and `bcc` together are its envelope recipients. */
export interface Message extends Content {
  to: Address[];
  cc: Address[];
  bcc: Address[];
  /** It is not whole yet. */
  rendering?: Rendering;
}

/** The same, with attachments that may still have to be read. */
export type Accepted<T extends Content> = Omit<T, 'attachments'> & { attachments: AcceptedAttachment[] };

/** How a message is to travel, checked. Times are milliseconds since the epoch. */
export interface Travel {
  /** What decided on its lane, for events. */
  laneBy?: string;
  transport?: string;
  sendAt?: number;
  expiresAt?: number;
  urgency?: Urgency;
  idempotencyKey?: string;
  /** Its reader can unsubscribe, by a link that is made when it is sent. */
  unsubscribe?: UnsubscribeSettings;
  /** The span in which it was sent. */
  trace?: TraceContext;
}

/** A checked recipient of a campaign. */
export interface Recipient {
  to: Address;
  /** For merge fields and templates an object; for a mail class any JSON. */
  context?: unknown;
  locale?: string;
  group?: string;
  idempotencyKey?: string;
}

/** The envelope recipients, each once, in the order to, cc, bcc. */
export function envelopeRecipients(message: Pick<Message, 'to' | 'cc' | 'bcc'>): string[] {
  return [...new Set([...message.to, ...message.cc, ...message.bcc].map((a) => a.address))];
}
