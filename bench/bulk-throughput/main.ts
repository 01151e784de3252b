/**
 * How many mails a second reach an SMTP server, beside what else Nest applications send a newsletter with. What has a
 * queue is timed from the moment its worker starts on a full queue to the last mail at the server.
 */
import { type Report, benchmark } from '../lib/benchmark.js';
import { inTurn } from '../lib/interleave.js';
import { installPeers } from '../lib/peers.js';
import { atLength } from '../lib/quick.js';
import { nextIssue } from '../lib/senders/remote-sender.js';
import type { SenderName } from '../lib/senders/sender.js';
import { startSink } from '../lib/sink.js';
import { verifyMails } from '../lib/verify.js';
import { Field } from './field.js';
import { report } from './report.js';
import { hasSmtpSource, sourceRate } from './smtp-source.js';

const REPEATS = atLength(5, 2);
const BYTES = 2_048;
const VERIFIED = 300;

/** Mails of a run: a second or more for each of them. */
const MAILS: Partial<Record<SenderName, number>> = {
  'sendBulk()': 10_000,
  'send() on the bulk lane': 8_000,
  'sendBulk(), embedded store': 8_000,
  'a BullMQ job per mail': 3_000,
  'nodemailer, pooled': 3_000,
  '@nestjs-modules/mailer': 2_000,
  '@nestjs-modules/mailer, pooled': 3_000,
  '@nestjs/mail, pooled': 5_000,
};
const FROM_SOURCE = atLength(30_000, 3_000);

await benchmark('bulk-throughput', async (): Promise<Report> => {
  await installPeers();
  const names = Object.keys(MAILS) as SenderName[];
  const sink = await startSink();
  const field = new Field(sink);
  const mails = (name: SenderName) => Math.round((MAILS[name] ?? 0) / atLength(1, 10));

  console.log('who gets what');
  for (const name of names) field.verified.set(name, await verifyMails(name, VERIFIED, BYTES));
  console.log('warming up');
  for (const name of names) await field.enter(name);
  for (const name of names) await field.warmUp(name, nextIssue(Math.ceil(mails(name) / 2), BYTES));

  for (let repeat = 0; repeat < REPEATS; repeat++) {
    console.log(`repeat ${repeat + 1} of ${REPEATS}`);
    for (const name of inTurn(names, repeat)) await field.run(name, nextIssue(mails(name), BYTES));
    const bytes = field.verified.get('sendBulk()')?.bytes ?? BYTES;
    if (hasSmtpSource()) field.source.push(await sourceRate(sink, FROM_SOURCE, bytes));
  }
  return report(field);
});
