import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MailDev } from 'maildev';
import type { InboxAddress, InboxCount, Reader } from './inbox.js';

/** What is used here of maildev's mails. */
interface Arrived {
  html: string;
  text: string;
  headers: Record<string, string | string[]>;
  envelope: { to: { address: string }[] };
  attachments?: { contentType: string }[];
}

/** The oldest make room for newer ones beyond this. */
const KEPT = 20_000;

const [smtp, web] = process.argv.slice(2).map(Number);
const mailDirectory = await mkdtemp(join(tmpdir(), 'demo-inbox-'));
const maildev = new MailDev({
  ip: '127.0.0.1',
  webIp: '127.0.0.1',
  smtp: smtp ?? 0,
  web: web ?? 0,
  mailDirectory,
  maxEmails: KEPT,
  silent: true,
});

/** Readers of a post whose links are kept. */
const LINKS = 3;

let mails = 0;
let invoices = 0;
const byPost = new Map<string, { recipients: string[]; korean: number; readers: Reader[] }>();

// Ctrl-C reaches every process of the terminal; this one is still needed while the site shuts down.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => {
  void maildev.stop().finally(async () => {
    await rm(mailDirectory, { recursive: true, force: true });
    process.exit();
  });
});

const { smtp: server, api } = await maildev.start();
server.on('new', ({ html, text, headers, envelope, attachments = [] }: Arrived) => {
  mails++;
  if (attachments.some(({ contentType }) => contentType === 'application/pdf')) invoices++;
  const post = headers['x-post'];
  if (typeof post !== 'string') return;
  const known = byPost.get(post) ?? { recipients: [], korean: 0, readers: [] };
  known.recipients.push(...envelope.to.map(({ address }) => address));
  if (html.includes('<html lang="ko"')) known.korean++;
  // maildev drops the List headers; the link in the mail is the same.
  const link = /https?:\S+\/unsubscribe\?token=\S+/.exec(text)?.[0];
  const [reader] = envelope.to;
  if (link !== undefined && reader && known.readers.length < LINKS)
    known.readers.push({ address: reader.address, link });
  byPost.set(post, known);
});

process.on('message', (post: string) => {
  const { recipients, korean, readers } = byPost.get(post) ?? { recipients: [], korean: 0, readers: [] };
  const different = new Set(recipients).size;
  process.send?.({
    mails,
    ofPost: recipients.length,
    recipients: different,
    korean,
    invoices,
    readers,
  } satisfies InboxCount);
});
process.send?.({ smtp: server.getPort(), web: api?.getAddress()?.port ?? 0 } satisfies InboxAddress);
