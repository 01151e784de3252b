import MailComposer from 'nodemailer/lib/mail-composer';
import { asciiDomain, domainOf, type Address } from '../message/address.js';
import type { Message } from '../message/message.js';
import { oneKindOfLineEnd } from '../message/text.js';
import { composedContent } from './base64.js';
import type { Encoded } from './encoded.js';
import { foldedUrls } from './header-line.js';
import { serialise } from './serialise.js';

export interface Stamp {
  /** The Message-ID header's value, angle brackets included. */
  messageId: string;
  /** The Date header: when the message was to leave, so that a second try shows the same. */
  date: Date;
}

/** One message as bytes. Bcc is an envelope matter and never written. */
export async function compose(message: Message, stamp: Stamp): Promise<Encoded> {
  return (
    serialise(composer(message, stamp).compile()) ?? split(await composer(whole(message), stamp).compile().build())
  );
}

/** nodemailer's composer for it, to be flattened: only `whole` messages can be built. */
export function composer(message: Message, stamp: Stamp, boundary: { boundaryPrefix?: string } = {}): MailComposer {
  return new MailComposer({
    from: message.from,
    to: message.to.map(copy),
    cc: message.cc.map(copy),
    replyTo: message.replyTo.map(copy),
    subject: message.subject,
    ...(message.text === undefined ? {} : { text: oneKindOfLineEnd(message.text) }),
    ...(message.html === undefined ? {} : { html: oneKindOfLineEnd(message.html) }),
    headers: message.headers.map(([key, value]) => ({ key, value: prepared(key, value) })),
    attachments: message.attachments.map((attachment) => {
      const { filename, contentType, cid, disposition } = attachment;
      return { filename, contentType, cid, contentDisposition: disposition, content: composedContent(attachment) };
    }),
    messageId: stamp.messageId,
    date: stamp.date,
    newline: '\r\n',
    disableFileAccess: true,
    disableUrlAccess: true,
    ...boundary,
  });
}

/** nodemailer writes what is prepared as it is. */
function prepared(name: string, value: string): string | { prepared: true; value: string } {
  const urls = foldedUrls(name, value);
  return urls === undefined ? value : { prepared: true, value: urls };
}

/** An address as SMTP carries it: the domain in ASCII (RFC 5891), the local part as it is (RFC 6531). */
export function envelopeAddress(address: string): string {
  const domain = domainOf(address);
  return `${address.slice(0, -domain.length)}${asciiDomain(domain) || domain}`;
}

/** With its attachments' own content. */
function whole(message: Message): Message {
  return { ...message, attachments: message.attachments.map((attachment) => ({ ...attachment })) };
}

function copy({ name, address }: Address): Address {
  return { name, address };
}

function split(raw: Buffer): Encoded {
  const end = raw.indexOf('\r\n\r\n') + 4;
  return { headers: raw.subarray(0, end), body: [raw.subarray(end)] };
}
