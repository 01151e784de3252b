import type { OutgoingMail } from './outgoing-mail.js';
import type { QueuedMail } from './queued-mail.js';
import type { SentMail } from './sent-mail.js';

/** Of each lane, so many lines. */
const MOST = 20;

/** An assertion about mail that does not hold. */
export class MailAssertionError extends Error {
  override readonly name = 'MailAssertionError';

  constructor(
    message: string,
    readonly sent: readonly SentMail[],
    readonly queued: readonly QueuedMail[],
  ) {
    super(`${message}\n${listing('Sent', sent)}\n${listing('Queued', queued)}`);
  }
}

function listing(what: string, mails: readonly OutgoingMail[]): string {
  if (mails.length === 0) return `  ${what}: none`;
  const lines = mails.slice(0, MOST).map((mail) => `    ${line(mail)}`);
  if (mails.length > MOST) lines.push(`    … and ${mails.length - MOST} more`);
  return [`  ${what}: ${mails.length}`, ...lines].join('\n');
}

function line(mail: OutgoingMail): string {
  const { lane, to, subject, source, attachments } = mail;
  const by = 'transport' in mail ? ` by ${String(mail.transport)}` : '';
  const state = 'state' in mail && mail.state !== 'queued' ? ` (${String(mail.state)})` : '';
  const from = source ? ` [${source.kind} ${source.name}]` : '';
  const files = attachments.map(({ filename }) => filename ?? 'a file').join(', ');
  const said = subject === '' ? '' : ` ${JSON.stringify(subject)}`;
  return `${lane}${by}${state} to ${to.join(', ')}${said}${from}${files === '' ? '' : ` with ${files}`}`;
}
