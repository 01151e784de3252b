import { MovingAverage } from '../moving-average.js';

/** Milliseconds. What was measured longer ago says nothing of now. */
const REMEMBERED = 30_000;

/** How long a server takes to answer messages, of late. */
export class ReplyTimes {
  private average = new MovingAverage();
  private at = -Infinity;
  private readonly waiting = new Set<(milliseconds: number) => void>();

  add(milliseconds: number): void {
    const now = performance.now();
    if (now - this.at > REMEMBERED) this.average = new MovingAverage();
    this.at = now;
    this.average.add(milliseconds);
    for (const told of this.waiting) told(milliseconds);
  }

  /** Moving average in milliseconds; undefined when there was no reply for a while. */
  get recent(): number | undefined {
    return performance.now() - this.at > REMEMBERED ? undefined : this.average.value;
  }

  /** The time of the next reply. @throws the signal's reason when it aborts first */
  next(signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.waiting.delete(told);
        signal.removeEventListener('abort', abort);
      };
      const told = (milliseconds: number): void => {
        end();
        resolve(milliseconds);
      };
      const abort = (): void => {
        end();
        reject(signal.reason as Error);
      };
      if (signal.aborted) return abort();
      this.waiting.add(told);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
