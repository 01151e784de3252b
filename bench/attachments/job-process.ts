/** The usual pattern: each mail is a job with all of it, its attachment too, which a worker hands to nodemailer's pool. */
import { Queue, Worker } from 'bullmq';
import { createTransport } from 'nodemailer';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SENDER, subscriber } from '../lib/newsletter.js';
import { poolOf } from '../lib/senders/nodemailer.js';
import { serve } from '../lib/serve.js';
import type { MailOptions, Mailing } from './mail-process.js';
import { type Memory, MemoryWatch } from './memory.js';

/** A Buffer as JSON, which is what nodemailer's example becomes in a job; or base64, as those write who have seen that. */
export type Form = 'Buffer' | 'base64';
export type JobOptions = MailOptions & { form: Form };

interface Job {
  from: string;
  to: string;
  subject: string;
  text: string;
  attachments: { filename: string; contentType: string; content: unknown; encoding?: 'base64' }[];
}

const CONNECTIONS = 10;
const JOBS_PER_CONNECTION = 2;
const watch = new MemoryWatch();
let queue: Queue<Job>;
let folder: string;
let form: Form;

serve({
  boot(options: JobOptions): void {
    ({ folder, form } = options);
    const connection = { url: options.redis };
    queue = new Queue<Job>('mails', { connection, defaultJobOptions: { removeOnComplete: true } });
    if (!options.worker) return;
    const transport = createTransport(poolOf(options.sink, CONNECTIONS));
    const work = ({ data }: { data: Job }) =>
      transport.sendMail({
        ...data,
        attachments: data.attachments.map((one) => ({ ...one, content: revived(one.content) })),
      });
    new Worker('mails', async (job) => void (await work(job)), {
      connection,
      concurrency: CONNECTIONS * JOBS_PER_CONNECTION,
    }).on('error', (error) => console.error(error));
  },

  async queue({ file, first, count }: Mailing): Promise<void> {
    const content = await readFile(join(folder, file));
    const attachment = { filename: file, contentType: 'application/pdf' };
    for (let n = first; n < first + count; n++) {
      const { to, name } = subscriber(n);
      await queue.add('mail', {
        from: SENDER,
        to,
        subject: `News for ${name}`,
        text: `Hello ${name}`,
        attachments: [
          form === 'Buffer'
            ? { ...attachment, content }
            : { ...attachment, content: content.toString('base64'), encoding: 'base64' },
        ],
      });
    }
  },

  pause: () => queue.pause(),
  resume: () => queue.resume(),
  memory: (): Memory => watch.take(),
});

function revived(content: unknown): string | Buffer {
  return typeof content === 'string' ? content : Buffer.from((content as { data: number[] }).data);
}
