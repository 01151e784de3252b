import { detectMimeType } from 'nodemailer/lib/mime-funcs';
import type { Address } from '../../message/address.js';
import type { Attachment, Message } from '../../message/message.js';
import { envelopeAddress } from '../../mime/compose.js';
import { rawOf } from '../../mime/encoded.js';
import type { Envelope, Outgoing, OutgoingMail } from '../transport.js';

/** An address of `@nestjs/mail`. */
export interface NestMailAddress {
  readonly name?: string;
  /** Its domain in ASCII. */
  readonly address: string;
}

/** An attachment of `@nestjs/mail`. */
export interface NestMailAttachment {
  readonly filename?: string;
  readonly content: Buffer;
  readonly contentType: string;
  readonly cid?: string;
  readonly disposition: 'attachment' | 'inline';
}

/** What a transport of `@nestjs/mail` is given: every public member of its `MailMessage`, which others cannot construct. */
export interface NestMailMessage {
  readonly messageId: string;
  readonly date: Date;
  readonly from: NestMailAddress;
  readonly replyTo: readonly NestMailAddress[];
  readonly to: readonly NestMailAddress[];
  readonly cc: readonly NestMailAddress[];
  readonly bcc: readonly NestMailAddress[];
  readonly subject: string;
  readonly html?: string;
  readonly text?: string;
  readonly attachments: readonly NestMailAttachment[];
  readonly headers: Readonly<Record<string, string>>;
  readonly envelope: { from: string; to: string[] };
  readonly internationalized: boolean;
  /** The message as bytes, each time a copy. */
  readonly toMime: () => Buffer;
}

/**
 * A message as a transport of `@nestjs/mail` takes it. Those whom it names are its envelope's recipients and nobody else, so that a
 * second try for some of them reaches no other; the bytes are untouched.
 *
 * @param extra headers for the provider
 */
export function nestMailMessage(
  outgoing: Outgoing,
  mail: OutgoingMail,
  extra: Readonly<Record<string, string>> = {},
): NestMailMessage {
  const message = mail.message();
  const { envelope } = outgoing;
  const { from, replyTo, subject, html, text, attachments } = message;
  const recipients = recipientsOf(message, envelope);
  const everybody = [from, ...replyTo, ...message.to, ...message.cc, ...message.bcc];
  const lookAlike: NestMailMessage = {
    messageId: mail.messageId,
    date: dateOf(outgoing.headers),
    from: addressOf(from),
    replyTo: freeze(replyTo.map(addressOf)),
    ...recipients,
    subject,
    ...(html === undefined ? {} : { html }),
    ...(text === undefined ? {} : { text }),
    attachments: freeze(attachments.map(attachmentOf)),
    headers: freeze({ ...headersOf(message.headers), ...extra }),
    envelope: { from: envelope.from, to: [...envelope.to] },
    internationalized: everybody.some(({ address }) => /[^\0-\x7f]/.test(envelopeAddress(address))),
    toMime: () => rawOf(outgoing),
  };
  return freeze(lookAlike);
}

type Recipients = Pick<NestMailMessage, 'to' | 'cc' | 'bcc'>;

function recipientsOf(message: Message, { to: due }: Envelope): Recipients {
  const left = new Set(due);
  const take = (list: readonly Address[]): NestMailAddress[] =>
    list.map(addressOf).filter(({ address }) => left.delete(address));
  let to = take(message.to);
  let cc = take(message.cc);
  const bcc = take(message.bcc);
  // Nobody may see those whom no header names.
  bcc.push(...[...left].map((address) => ({ address })));
  // The APIs of providers ask for a To. Those in Cc are shown anyway, and one alone is shown to itself.
  if (to.length === 0 && cc.length > 0) [to, cc] = [cc, []];
  if (to.length === 0 && bcc.length === 1) to = bcc.splice(0);
  return { to: freeze(to), cc: freeze(cc), bcc: freeze(bcc) };
}

function addressOf({ name, address }: Address): NestMailAddress {
  return freeze({ ...(name ? { name } : {}), address: envelopeAddress(address) });
}

function attachmentOf({ filename, content, contentType, cid, disposition }: Attachment): NestMailAttachment {
  return freeze({
    ...(filename === undefined ? {} : { filename }),
    content,
    contentType: contentType ?? detectMimeType(filename ?? false),
    ...(cid === undefined ? {} : { cid }),
    disposition: cid === undefined ? disposition : 'inline',
  });
}

/** One of each name: what an object cannot hold twice stands in one line. */
function headersOf(headers: Message['headers']): Record<string, string> {
  const joined = new Map<string, [name: string, value: string]>();
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    const before = joined.get(key);
    joined.set(key, before ? [before[0], `${before[1]}, ${value}`] : [name, value]);
  }
  return Object.fromEntries(joined.values());
}

/** Of the Date header, so that all tries of a message show the same. */
function dateOf(headers: Buffer): Date {
  const [, value = ''] = /^date:[ \t]*(.+)\r$/im.exec(headers.toString('latin1')) ?? [];
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}

function freeze<T extends object>(value: T): Readonly<T> {
  return Object.freeze(value);
}
