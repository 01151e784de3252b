import type { AttachmentSweep } from '../attachments/attachment-sweep.js';
import type { Records } from '../store/records.js';
import type { Reader } from './reader.js';
import type { Keep, Retention } from './retention.js';

const EVERY = 60_000;
const HOUR = 3_600_000;
const SWEPT = 'swept';
/** A queue that is this far behind renews no leases of what it needs: nobody takes its batches up. */
const BEHIND = 24 * HOUR;

/** Removes what is past retention. BullMQ's own retention would look at a job's age alone. */
export class Sweep {
  private timer: NodeJS.Timeout | undefined;

  /** @param attachments undefined where there is no store of them */
  constructor(
    private readonly records: Records,
    private readonly retention: Retention,
    private readonly keep: Keep,
    private readonly reader: Pick<Reader, 'report' | 'workers'>,
    private readonly attachments: AttachmentSweep | undefined,
    private readonly onError: (error: Error) => void,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.run().catch(this.onError), EVERY);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** For processes that do not live for long: unless somebody swept within the hour. */
  async runIfDue(now = Date.now()): Promise<void> {
    if (await this.note(now)) await this.sweep(now);
  }

  /** Returns the batches removed. */
  async run(now = Date.now()): Promise<number> {
    await this.note(now);
    return this.sweep(now);
  }

  /** Returns whether nobody had swept within the hour. */
  private note(now: number): Promise<boolean> {
    return this.records.putIfAbsent(SWEPT, { at: String(now) }, now + HOUR);
  }

  private async sweep(now: number): Promise<number> {
    await this.records.sweep(now);
    const { sent, failed } = this.keep;
    const removed = await this.retention.remove(now, Math.min(sent, failed), ({ counts, age }) => {
      return age >= (counts.failed > 0 ? failed : sent);
    });
    await this.sweepAttachments(now);
    return removed;
  }

  private async sweepAttachments(now: number): Promise<void> {
    if (!this.attachments || !(await this.attachments.takeTurn(now))) return;
    const [{ paused, oldestWaiting }, { lastSeen }] = await Promise.all([this.reader.report(), this.reader.workers()]);
    const since = (time: Date | undefined): number => (time ? now - time.getTime() : 0);
    const stands = paused || !lastSeen || since(lastSeen) > BEHIND || since(oldestWaiting) > BEHIND;
    if (!stands) await this.attachments.run(now);
  }
}
