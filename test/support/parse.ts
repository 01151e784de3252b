import PostalMime, { type Address, type Attachment, type Mailbox } from 'postal-mime';

export interface ParsedMessage {
  from: Mailbox | undefined;
  to: Mailbox[];
  cc: Mailbox[];
  bcc: Mailbox[];
  replyTo: Mailbox[];
  subject: string | undefined;
  text: string | undefined;
  html: string | undefined;
  /** With `content` as bytes. */
  attachments: (Omit<Attachment, 'content'> & { content: Buffer })[];
  /** Raw values by lower-case name; those of a repeated header are joined by `\n`. */
  headers: Record<string, string>;
  messageId: string | undefined;
}

/** Reads a message as a mail program does. Groups of addresses are flattened. */
export async function parse(raw: Buffer | string): Promise<ParsedMessage> {
  const { from, to, cc, bcc, replyTo, subject, text, html, messageId, ...email } = await PostalMime.parse(raw);
  const headers: Record<string, string> = {};
  for (const { key, value } of email.headers) headers[key] = key in headers ? `${headers[key]}\n${value}` : value;
  return {
    from: mailboxes(from && [from])[0],
    to: mailboxes(to),
    cc: mailboxes(cc),
    bcc: mailboxes(bcc),
    replyTo: mailboxes(replyTo),
    subject,
    text,
    html,
    attachments: email.attachments.map((attachment) => ({ ...attachment, content: bytes(attachment) })),
    headers,
    messageId,
  };
}

function mailboxes(addresses: Address[] = []): Mailbox[] {
  return addresses.flatMap((address) => address.group ?? [address]);
}

function bytes({ content, encoding }: Attachment): Buffer {
  if (typeof content === 'string') return Buffer.from(content, encoding);
  return content instanceof ArrayBuffer ? Buffer.from(content) : Buffer.from(content);
}
