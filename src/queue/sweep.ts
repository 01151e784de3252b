import type { Records } from '../store/records.js';
import type { Keep, Retention } from './retention.js';

const EVERY = 60_000;

/** Removes what is past retention. BullMQ's own retention would look at a job's age alone. */
export class Sweep {
  private timer: NodeJS.Timeout | undefined;

  constructor(
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
    const { sent, failed } = this.keep;
    return this.retention.remove(now, Math.min(sent, failed), ({ counts, age }) => {
      return age >= (counts.failed > 0 ? failed : sent);
    });
  }
}
