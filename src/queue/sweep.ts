import type { Records } from '../store/records.js';
import type { MailJobQueue } from './backend.js';
import { readBatch } from './batch.js';
import { keys } from './keys.js';
import type { Keep, Retention } from './retention.js';

const EVERY = 60_000;
const PAGE = 100;
/** A campaign's record, with its final counts, stays this much longer than its messages. */
const RECORD_KEPT_FOR = 90 * 24 * 3_600_000;

/** Removes what is past retention. BullMQ's own retention would look at a job's age alone. */
export class Sweep {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly queue: MailJobQueue,
    private readonly records: Records,
    private readonly retention: Retention,
    private readonly keep: Keep,
    private readonly onError: (error: Error) => void,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.run().catch(this.onError), EVERY);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Returns the batches removed. */
  async run(now = Date.now()): Promise<number> {
    await this.records.sweep(now);
    let removed = 0;
    const ended = new Map<string, Promise<boolean>>();
    for (let from = 0; ;) {
      // Oldest first: a page that holds something too young to go is the last.
      const jobs = await this.queue.getJobs(['completed'], from, from + PAGE - 1, true);
      let young = 0;
      for (const job of jobs) {
        from++;
        const read = readBatch(job?.data);
        if (!job?.id || 'problem' in read) continue;
        const { batch } = read;
        const age = now - (job.finishedOn ?? now);
        if (age < this.keep.sent) young++;
        const failed = ((job.returnvalue as { failed?: number } | null)?.failed ?? 0) > 0;
        if (age < (failed ? this.keep.failed : this.keep.sent)) continue;
        const campaign = batch.campaign?.id ?? '';
        if (!ended.has(campaign)) ended.set(campaign, this.retention.hasEnded(batch, now));
        if (!(await ended.get(campaign))) continue;
        await this.retention.remove(job);
        if (batch.campaign) await this.expireCampaign(campaign, now);
        removed++;
        from--;
      }
      if (jobs.length < PAGE || young > 0) return removed;
    }
  }

  private expireCampaign(id: string, now: number): Promise<void> {
    return this.records.expire([keys.campaign(id), keys.progress(id)], now + RECORD_KEPT_FOR);
  }
}
