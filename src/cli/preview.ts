import { MailConfigError } from '../errors.js';
import { LANES, type MailMessageInput, type Message } from '../message/message.js';
import type { MailModuleRootOptions } from '../nest/mail.module.js';
import type { Transport } from '../transport/transport.js';
import type { Context } from './context.js';
import { openMailer, settingsOf } from './mailer.js';
import { facts, printableLines } from './text.js';

/**
 * The mail as it would leave: checked, rendered and intercepted by the configured mailer, whose transports keep it.
 *
 * @throws what sending it throws
 */
export async function previewOf(
  message: MailMessageInput,
  config: MailModuleRootOptions,
  context: Context,
): Promise<Message> {
  // Before the transports are looked at.
  settingsOf(config);
  let seen: Message | undefined;
  const keep = (kept: Message): void => void (seen = kept);
  const { resolveTransport: resolve, ...options } = config;
  const transports = config.transports.map(({ name }) => new Keeper(name, keep));
  const tenants = resolve && { resolveTransport: (name: string) => new Keeper(name, keep) };
  const mailer = await openMailer({ ...options, ...tenants, transports }, 'transports', context);
  try {
    await mailer.mail.send({ ...message, lane: 'priority' });
  } finally {
    await mailer.close();
  }
  if (!seen) throw new MailConfigError('The mail was sent nowhere.');
  return seen;
}

/** The mail for a program: of its attachments what they are. */
export function previewDocument({ attachments, ...message }: Message): object {
  const described = attachments.map(({ content, ...rest }) => ({ ...rest, bytes: content.length }));
  return { dryRun: true, message: { ...message, attachments: described } };
}

/** The mail for a person: its headers, and what it says. */
export function previewText(message: Message): string {
  const { from, to, cc, bcc, replyTo, subject, headers, attachments, text, html } = message;
  const heading = facts('Nothing is sent. The mail:', {
    From: addresses([from]),
    To: addresses(to),
    Cc: addresses(cc),
    Bcc: addresses(bcc),
    'Reply-To': addresses(replyTo),
    Subject: subject,
    ...Object.fromEntries(headers),
    attached:
      attachments.map(({ filename, content }) => `${filename} (${content.length} bytes)`).join(', ') || undefined,
  });
  const bodies = [text, html].filter((body) => body !== undefined).map((body) => printableLines(body).trimEnd());
  return [heading, ...bodies].join('\n\n');
}

function addresses(list: Message['to']): string | undefined {
  return list.map(({ name, address }) => (name ? `${name} <${address}>` : address)).join(', ') || undefined;
}

/** Takes a mail, and lets nobody have it. */
class Keeper implements Transport {
  readonly lanes = LANES;
  readonly maxConnections = 1;

  constructor(
    readonly name: string,
    private readonly keep: (message: Message) => void,
  ) {}

  async send({ mail, envelope }: Parameters<Transport['send']>[0]): ReturnType<Transport['send']> {
    if (mail) this.keep(mail.message());
    return { accepted: envelope.to, rejections: [], response: '250 Kept' };
  }

  async verify(): Promise<void> {}

  async close(): Promise<void> {}
}
