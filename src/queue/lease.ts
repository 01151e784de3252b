import type { MailJob } from './backend.js';

/** Left over at the end of a lock, for a message that is just being handed over. */
const MARGIN = 0.2;

/**
 * A worker's proof that a batch is its own. BullMQ aborts nothing when a lock is lost and its own renewal reports only
 * answers, so the lock is renewed here, and it counts as held from the moment the last successful renewal was asked for,
 * on a clock that goes on while the process is stopped.
 */
export class Lease {
  private heldFrom: number;
  private timer: NodeJS.Timeout | undefined;
  private lost = false;

  /**
   * @param duration of the lock, in milliseconds
   */
  constructor(
    private readonly job: MailJob,
    private readonly token: string,
    private readonly duration: number,
  ) {
    // The lock was set when the job was fetched, which may be a while ago.
    this.heldFrom = performance.now() - Math.max(0, Date.now() - (job.processedOn ?? Date.now()));
    this.schedule();
  }

  /** False when the lock may have expired: nothing may be sent any more. */
  get held(): boolean {
    return !this.lost && performance.now() - this.heldFrom < this.duration * (1 - MARGIN);
  }

  /** The batch is given back: it is held no more. */
  end(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lost = true;
  }

  private schedule(): void {
    this.timer = setTimeout(() => void this.renew(), this.duration / 4);
  }

  private async renew(): Promise<void> {
    const asked = performance.now();
    try {
      if ((await this.job.extendLock(this.token, this.duration)) === 1) this.heldFrom = asked;
      else this.lost = true;
    } catch {
      // The store is away; `held` becomes false by itself when it stays away.
    }
    if (this.timer && !this.lost) this.schedule();
  }
}
