import { domainToASCII } from 'node:url';
import MailComposer from 'nodemailer/lib/mail-composer';
import { domainOf, type Address } from '../message/address.js';
import type { Message } from '../message/message.js';
import { serialise } from './serialise.js';

export interface Stamp {
  /** The Message-ID header's value, angle brackets included. */
  messageId: string;
  /** The Date header: when the message was to leave, so that a second try shows the same. */
  date: Date;
}

/** One message as RFC 5322 bytes with CRLF line ends. Bcc is an envelope matter and never written. */
export async function compose(message: Message, stamp: Stamp): Promise<Buffer> {
  const composer = new MailComposer({
    from: message.from,
    to: message.to.map(copy),
    cc: message.cc.map(copy),
    replyTo: message.replyTo.map(copy),
    subject: message.subject,
    ...(message.text === undefined ? {} : { text: oneKindOfLineEnd(message.text) }),
    ...(message.html === undefined ? {} : { html: oneKindOfLineEnd(message.html) }),
    headers: message.headers.map(([key, value]) => ({ key, value })),
    attachments: message.attachments.map(({ disposition, ...attachment }) => ({
      ...attachment,
      contentDisposition: disposition,
    })),
    messageId: stamp.messageId,
    date: stamp.date,
    newline: '\r\n',
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const root = composer.compile();
  return serialise(root) ?? root.build();
}

/** An address as SMTP carries it: the domain in ASCII (RFC 5891), the local part as it is (RFC 6531). */
export function envelopeAddress(address: string): string {
  const domain = domainOf(address);
  return `${address.slice(0, -domain.length)}${domainToASCII(domain) || domain}`;
}

/** The composer turns LF into CRLF, but would pass on a CR that stands alone. */
function oneKindOfLineEnd(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

function copy({ name, address }: Address): Address {
  return { name, address };
}
