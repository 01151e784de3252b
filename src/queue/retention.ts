import type { Counts } from '../delivery/ledger.js';
import type { Records } from '../store/records.js';
import type { MailJob, MailJobQueue } from './backend.js';
import type { BatchHead } from './batch.js';
import { readHead } from './batch-format.js';
import { keys } from './keys.js';
import type { Reader } from './reader.js';

export interface Keep {
  /** How long finished messages stay to be asked for, in milliseconds. */
  sent: number;
  /** The same, for batches with a failed message. */
  failed: number;
}

/** A batch of which every recipient is settled. */
export interface FinishedBatch {
  batch: Pick<BatchHead, 'id' | 'campaign'>;
  /** Its recipients by what became of them. */
  counts: Counts;
  /** How long ago it finished, in milliseconds. */
  age: number;
}

const PAGE = 100;
/** Few campaigns are continued more often. */
const PASSES = 8;
/** A ledger outlives its job by this long, in case its removal is interrupted between the two. */
const LEDGER_AFTERLIFE = 3_600_000;
/** A campaign's record, with its final counts, stays this much longer than its messages. */
export const RECORD_KEPT_FOR = 90 * 24 * 3_600_000;

/** Which finished batches may go, and how they go. */
export class Retention {
  constructor(
    private readonly queue: MailJobQueue,
    private readonly records: Records,
    private readonly reader: Reader,
    private readonly keep: Keep,
  ) {}

  /**
   * Removes finished batches of campaigns that have ended, the oldest first. Returns how many.
   *
   * @param olderThan younger ones stay, in milliseconds
   * @param goes whether this one is to go
   */
  async remove(now: number, olderThan: number, goes: (finished: FinishedBatch) => boolean): Promise<number> {
    const ended = new Map<string, boolean>();
    let removed = 0;
    for (let from = 0; ;) {
      const jobs = await this.queue.getJobs(['completed'], from, from + PAGE - 1, true);
      for (const job of jobs) {
        const finished = job && readFinished(job, now);
        if (finished && finished.age < olderThan) return removed;
        if (finished && (await this.hasEnded(finished.batch, now, ended)) && goes(finished)) {
          if (await this.removeJob(job)) removed++;
          else from++;
        } else from++;
      }
      if (jobs.length < PAGE) return removed;
    }
  }

  /**
   * A campaign's batches stay together until all of it has ended: continuing it, and its reports, need them. One whose
   * queueing was interrupted and never continued has ended when failed messages would go.
   */
  private async hasEnded(
    { campaign }: FinishedBatch['batch'],
    now: number,
    known: Map<string, boolean>,
  ): Promise<boolean> {
    if (!campaign) return true;
    const { id } = campaign;
    const answer = known.get(id);
    if (answer !== undefined) return answer;
    const report = await this.reader.campaign(id);
    const abandoned = report?.state === 'incomplete' && now - report.seenAt.getTime() > this.keep.failed;
    const ended = !report || report.finishedAt !== undefined || report.state === 'cancelled' || abandoned;
    if (ended) await this.expirePasses(id, now + RECORD_KEPT_FOR);
    known.set(id, ended);
    if (report && ended) await keepRecord(this.records, id, now);
    return ended;
  }

  /** Their numbers have no gaps. */
  private async expirePasses(id: string, at: number): Promise<void> {
    for (let from = 0; ; from += PASSES) {
      const names = Array.from({ length: PASSES }, (_, index) => keys.pass(id, from + index));
      const found = await this.records.get(names);
      const passes = names.filter((_, index) => found[index]);
      if (passes.length > 0) await this.records.expire(passes, at);
      if (passes.length < PASSES) return;
    }
  }

  /** Makes room for another batch of that id, unless one is still under way. */
  async forget(id: string): Promise<void> {
    const job = await this.queue.getJob(id);
    if (job && !job.finishedOn) return;
    await this.records.delete([keys.ledger(id), keys.marks(id)]);
    if (job) await this.queue.getBackend().remove(id, false);
  }

  /** Another process may be doing the same. */
  private async removeJob({ id, finishedOn }: MailJob): Promise<boolean> {
    // It may have been reopened since it was read.
    const job = await this.queue.getJob(id!);
    if (!job || job.finishedOn !== finishedOn) return false;
    if ((await this.queue.getBackend().remove(id!, false)) !== 1) return false;
    await this.records.expire([keys.ledger(id!), keys.marks(id!)], Date.now() + LEDGER_AFTERLIFE);
    return true;
  }
}

/** Of a campaign whose batches are gone, or may go. */
export function keepRecord(records: Records, id: string, now: number): Promise<void> {
  return records.expire([keys.campaign(id), keys.progress(id), keys.bound(id)], now + RECORD_KEPT_FOR);
}

/** Undefined for a job that no batch can be read from. */
function readFinished(job: MailJob, now: number): FinishedBatch | undefined {
  const batch = readHead(job.data);
  if (!job.id || !batch) return undefined;
  return { batch, counts: job.returnvalue as FinishedBatch['counts'], age: now - (job.finishedOn ?? now) };
}
