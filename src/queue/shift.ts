import type { Counts } from '../delivery/ledger.js';
import { MovingAverage } from '../transport/moving-average.js';

/** What was done in a shift. Recipients, apart from the batches. */
export interface ShiftReport {
  /** Batches that were worked on. */
  batches: number;
  /** Accepted by a server. */
  sent: number;
  /** Given up. */
  failed: number;
  /** Put off by a server: they wait in the queue for their next attempt. */
  deferred: number;
}

export const NOTHING_DONE: ShiftReport = { batches: 0, sent: 0, failed: 0, deferred: 0 };

export type ShiftEnd = 'deadline' | 'aborted' | 'closed';

/** Kept for the end of a shift, to record what was accepted and to hand the batches back; of a short one, its share. */
const RESERVE = 1_000;
const RESERVE_SHARE = 0.25;
/** A message is expected to take so many times what the last ones took on average. */
const CAUTION = 2;
/** With less left than this, no message is started. Milliseconds. */
const LEAST = 50;
/** What takes less was no message, but one that had been settled before. Milliseconds. */
const NOTHING_SENT = 1;

/** A limited time for a worker: how much of it is left, and what was done in it. */
export class Shift {
  /** Resolves when no more work is to be taken up. */
  readonly over: Promise<ShiftEnd>;
  /** Milliseconds between cutting the connections and letting go of the store. */
  readonly lastWords: number;
  isOver = false;
  /** How often a batch was taken from the queue. */
  taken = 0;
  private readonly cutAt: number;
  private readonly pace = new MovingAverage();
  private readonly batches = new Set<string>();
  private readonly deferred = new Map<string, number>();
  private sent = 0;
  private failed = 0;
  private resolve!: (end: ShiftEnd) => void;

  /** @param length milliseconds, from now on */
  constructor(private readonly length: number) {
    const reserve = Math.min(RESERVE, length * RESERVE_SHARE);
    this.cutAt = performance.now() + length - reserve;
    this.lastWords = reserve * 0.75;
    this.over = new Promise((resolve) => (this.resolve = resolve));
  }

  /** Milliseconds until connections are cut. */
  get left(): number {
    return Math.max(0, this.cutAt - performance.now());
  }

  /** Whether a message that is started now can be expected to have its answer in time. */
  get hasTime(): boolean {
    const expected = Math.min((this.pace.value ?? 0) * CAUTION, this.length / 2);
    return this.left > Math.max(LEAST, expected);
  }

  get report(): ShiftReport {
    let deferred = 0;
    for (const count of this.deferred.values()) deferred += count;
    return { batches: this.batches.size, sent: this.sent, failed: this.failed, deferred };
  }

  end(why: ShiftEnd): void {
    this.isOver = true;
    this.resolve(why);
  }

  take(): void {
    this.taken++;
  }

  /** @param duration of a message, in milliseconds */
  took(duration: number): void {
    if (duration > NOTHING_SENT) this.pace.add(duration);
  }

  /** What a batch's ledger counted before and after it was worked on. */
  delivered(batch: string, before: Counts, after: Counts): void {
    this.batches.add(batch);
    this.sent += after.sent - before.sent;
    this.failed += after.failed - before.failed;
    if (after.deferred > 0) this.deferred.set(batch, after.deferred);
    else this.deferred.delete(batch);
  }
}
