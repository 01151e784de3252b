/** What 10,000 mails with one attachment of 5 MB take: in Redis, in the process that queues them, and in the one that sends them. */
import { type Report, benchmark } from '../lib/benchmark.js';
import { number } from '../lib/format.js';
import { atLength } from '../lib/quick.js';
import { table } from '../lib/table.js';
import { Field, type Step } from './field.js';
import type { Form } from './job-process.js';

const MEGABYTE = 2 ** 20;
/** Mails so far, after each step; the first is the warm-up. */
const STEPS = atLength([100, 1_000, 10_000], [20, 100, 200]);
const SINGLE = atLength(1_000, 20);
const JOBS: Record<Form, number> = { base64: atLength(100, 20), Buffer: atLength(30, 10) };

await benchmark('attachments', async (): Promise<Report> => {
  const ours: Step[] = [];
  const field = await Field.start('mail-process.ts', {});
  for (const [index, mails] of STEPS.entries()) {
    const first = STEPS[index - 1] ?? 0;
    ours.push(await field.deliver({ first, count: mails - first, by: 'sendBulk()' }));
  }
  ours.push(await field.deliver({ first: STEPS.at(-1)!, count: SINGLE, by: 'send()' }));
  await field.stop();
  const theirs: Step[] = [];
  const notes: string[] = [];
  for (const form of ['base64', 'Buffer'] as const) {
    const peer = await Field.start('job-process.ts', { form });
    theirs.push({
      ...(await peer.deliver({ first: 0, count: JOBS[form], by: 'send()' })),
      what: `a job each, as ${form}`,
    });
    await peer.stop();
    // A worker that is busy with so much JSON is taken for dead, and another takes its job.
    notes.push(...peer.faults.map((fault) => `With a job each, as ${form}: ${fault}.`));
  }
  return { ...report(ours, theirs), notes, faults: field.faults };
});

function report(ours: readonly Step[], theirs: readonly Step[]): Omit<Report, 'notes' | 'faults'> {
  const megabytes = (bytes: number) => number(bytes / MEGABYTE);
  const rows = [...ours, ...theirs].map(({ what, mails, seconds, queued, producer, worker }) => [
    what,
    mails.toLocaleString('en'),
    `${number(queued / 1_024)} KB`,
    number(queued / mails),
    megabytes(producer.rss),
    megabytes(producer.heap + producer.outside),
    megabytes(worker.rss),
    megabytes(worker.heap + worker.outside),
    number(mails / seconds),
  ]);
  const headings = [
    'mails with 5 MB each',
    'number',
    'Redis grows by',
    'bytes each',
    'producer: peak RSS, MB',
    'heap and external',
    'worker: peak RSS, MB',
    'heap and external',
    'a second',
  ];
  const heading = `One file of 5 MB, attached by \`path\`, to all; queued on Redis while no worker runs, attachments in a folder; then
sent by one worker process over 10 connections on loopback to a sink that counts mails and octets and hashes the file of one in a
hundred. The same two processes all along: the first line is their warm-up. Below, BullMQ with the file in each job, and nodemailer's
pool. Memory is sampled every 50 ms, and the peak is that of the line.`;
  const steps = ours.filter(({ what }) => what === 'sendBulk()');
  const [warm] = steps;
  const last = steps.at(-1);
  const grown = (of: 'producer' | 'worker') => (last && warm ? (last[of].rss - warm[of].rss) / MEGABYTE : NaN);
  const all = STEPS.at(-1)!.toLocaleString('en');
  const bars = [
    {
      what: `Redis for ${all} mails, queued`,
      measured: steps.reduce((sum, { queued }) => sum + queued, 0) / MEGABYTE,
      limit: 10,
      aim: 4,
      unit: 'MB',
    },
    {
      what: `peak RSS of the producer, ${all} against the first ${STEPS[0]}`,
      measured: grown('producer'),
      limit: 60,
      aim: 30,
      unit: 'MB more',
    },
    {
      what: `peak RSS of the worker, ${all} against the first ${STEPS[0]}`,
      measured: grown('worker'),
      limit: 100,
      aim: 50,
      unit: 'MB more',
    },
  ];
  return { sections: [`${heading}\n\n${table(headings, rows)}`], bars, data: { ours, theirs } };
}
