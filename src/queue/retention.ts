import type { Records } from '../store/records.js';
import type { MailJob, MailJobQueue } from './backend.js';
import type { Batch } from './batch.js';
import { keys } from './keys.js';
import type { Reader } from './reader.js';

export interface Keep {
  /** How long finished messages stay to be asked for, in milliseconds. */
  sent: number;
  /** The same, for batches with a failed message. */
  failed: number;
}

/** A ledger outlives its job by this long, in case its removal is interrupted between the two. */
const LEDGER_AFTERLIFE = 3_600_000;

/** Which batches may go, and how they go. */
export class Retention {
  constructor(
    private readonly queue: MailJobQueue,
    private readonly records: Records,
    private readonly reader: Reader,
    private readonly keep: Keep,
  ) {}

  /**
   * A campaign's batches stay together until all of it has ended: continuing it, and its reports, need them. One whose
   * queueing was interrupted and never continued has ended when failed messages would go.
   */
  async hasEnded({ campaign }: Batch, now: number): Promise<boolean> {
    if (!campaign) return true;
    const report = await this.reader.campaign(campaign.id);
    if (!report || report.finishedAt || report.state === 'cancelled') return true;
    return report.state === 'incomplete' && now - report.seenAt.getTime() > this.keep.failed;
  }

  /** Removes a finished batch. Another process may be doing the same. */
  async remove(job: MailJob): Promise<void> {
    const id = job.id!;
    await this.records.expire([keys.ledger(id), keys.marks(id)], Date.now() + LEDGER_AFTERLIFE);
    await this.queue.getBackend().remove(id, false);
  }
}
