import { Queue, Worker } from 'bullmq';
import { createTransport } from 'nodemailer';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Issue, type Letter, letters } from '../newsletter.js';
import { poolOf } from './nodemailer.js';
import type { Boot, Sender, SenderOptions } from './sender.js';

/** Jobs at a time for each connection: enough that none idles while a job is fetched. */
const JOBS_PER_CONNECTION = 2;

/** The usual pattern: each mail is a job with all of it, which a worker hands to a pool. */
function boot({ sink, store = '', connections = 10, worker = true }: SenderOptions, add: Add): Sender {
  const connection = { url: store };
  const queue = new Queue<Letter>('mails', { connection, defaultJobOptions: { removeOnComplete: true } });
  const failures: Error[] = [];
  if (worker) {
    const transport = createTransport(poolOf(sink, connections));
    const work = async ({ data }: { data: Letter }) => void (await transport.sendMail(data));
    const concurrency = connections * JOBS_PER_CONNECTION;
    new Worker<Letter>('mails', work, { connection, concurrency })
      .on('failed', (_, error) => failures.push(error))
      .on('error', (error) => failures.push(error));
  }
  return {
    async queue(issue) {
      if (worker) await queue.pause();
      await add(queue, issue);
    },
    deliver: () => queue.resume(),
    async settle() {
      const busy = async () => (await queue.count()) + (await queue.getActiveCount()) > 0;
      while (await busy()) await sleep(20);
      if (failures[0]) throw failures[0];
    },
  };
}

type Add = (queue: Queue<Letter>, issue: Issue) => Promise<void>;

export const bootAddBulk: Boot = async (options) =>
  boot(options, async (queue, issue) => {
    await queue.addBulk(Array.from(letters(issue), (data) => ({ name: 'mail', data })));
  });

export const bootAdd: Boot = async (options) =>
  boot(options, async (queue, issue) => {
    for (const data of letters(issue)) await queue.add('mail', data);
  });
