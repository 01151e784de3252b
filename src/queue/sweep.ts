import type { Records } from '../store/records.js';
import type { MailJobQueue } from './backend.js';
import { readBatch, type Batch } from './batch.js';
import { keys } from './keys.js';
import type { Reader } from './reader.js';

export interface Keep {
  /** How long finished messages stay to be asked for, in milliseconds. */
  sent: number;
  /** The same, for batches with a failed message. */
  failed: number;
}

const EVERY = 60_000;
const PAGE = 100;
/** A campaign's record, with its final counts, stays this much longer than its messages. */
const RECORD_KEPT_FOR = 90 * 24 * 3_600_000;

/**
 * Removes what is past retention. BullMQ's own retention would look at a job's age alone: the batches of a campaign stay
 * together until all of it has ended, since continuing it and its reports need them.
 */
export class Sweep {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly queue: MailJobQueue,
    private readonly records: Records,
    private readonly reader: Reader,
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
    let removed = 0;
    const ended = new Map<string, boolean>();
    for (let from = 0; ;) {
      // Oldest first: the first page without anything old enough ends it.
      const jobs = await this.queue.getJobs(['completed'], from, from + PAGE - 1, true);
      let young = 0;
      for (const job of jobs) {
        const read = readBatch(job?.data);
        if (!job?.id || 'problem' in read) continue;
        const age = now - (job.finishedOn ?? now);
        const failed = ((job.returnvalue as { failed?: number } | null)?.failed ?? 0) > 0;
        if (age < this.keep.sent) young++;
        if (age >= (failed ? this.keep.failed : this.keep.sent) && (await this.hasEnded(read.batch, ended, now))) {
          await job.remove();
          await this.records.delete([keys.ledger(job.id), keys.marks(job.id)]);
          removed++;
        } else from++;
      }
      if (jobs.length < PAGE || young > 0) return removed;
    }
  }

  private async hasEnded({ campaign }: Batch, known: Map<string, boolean>, now: number): Promise<boolean> {
    if (!campaign) return true;
    const cached = known.get(campaign.id);
    if (cached !== undefined) return cached;
    const report = await this.reader.campaign(campaign.id);
    const ended = !report || report.finishedAt !== undefined || report.state === 'cancelled';
    known.set(campaign.id, ended);
    if (report && ended) {
      await this.records.expire([keys.campaign(campaign.id), keys.progress(campaign.id)], now + RECORD_KEPT_FOR);
    }
    return ended;
  }
}
