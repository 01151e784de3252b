import { MailModule, MailService } from 'nestjs-priority-mail';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootNest } from '../lib/nest.js';
import { SENDER, newsletter } from '../lib/newsletter.js';
import type { Issue } from '../lib/newsletter.js';
import { serve } from '../lib/serve.js';

/** Bytes. */
export interface Memory {
  rss: number;
  /** What V8 holds and what its objects hold outside: live and garbage. */
  heap: number;
}

export interface Sample extends Memory {
  /** Recipients queued by then. */
  queued: number;
}

export interface Queued {
  milliseconds: number;
  before: Memory;
  peak: Memory;
  samples: Sample[];
}

const EVERY = 50;
/** Milliseconds after which what came before is over. */
const REST = 500;

let mail: MailService;

serve({
  async boot(connection: string): Promise<void> {
    const app = await bootNest(
      MailModule.forRoot({
        from: SENDER,
        transports: [{ name: 'nowhere', url: 'smtp://127.0.0.1:1', minWarm: 0 }],
        queue: { connection, worker: false },
      }),
    );
    mail = app.get(MailService);
  },

  async queue(issue: Issue): Promise<Queued> {
    await sleep(REST);
    const before = memory();
    const maxBefore = maxRss();
    const samples: Sample[] = [{ ...before, queued: 0 }];
    let queued = 0;
    const sampling = setInterval(() => samples.push({ ...memory(), queued }), EVERY);
    const started = performance.now();
    const onProgress = (progress: { queued: number }) => (queued = progress.queued);
    const receipt = await mail.sendBulk({ ...newsletter(issue), onProgress });
    const milliseconds = performance.now() - started;
    clearInterval(sampling);
    samples.push({ ...memory(), queued: receipt.queued });
    if (receipt.queued !== issue.count) throw new Error(`Of ${issue.count} recipients ${receipt.queued} were queued`);
    const highest = (of: keyof Memory) => Math.max(...samples.map((sample) => sample[of]));
    // The system saw what was between two samples, provided that it is the most in the life of the process.
    const peak = { rss: maxRss() > maxBefore ? maxRss() : highest('rss'), heap: highest('heap') };
    return { milliseconds, before, peak, samples };
  },
});

function memory(): Memory {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external };
}

function maxRss(): number {
  return process.resourceUsage().maxRSS * 1_024;
}
