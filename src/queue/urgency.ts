import type { Urgency } from '../message/message.js';

/**
 * A job's priority in BullMQ: smaller goes first, 1 to 2,097,152. Within an urgency a batch is ordered by its number in
 * its campaign, so a small campaign's first batches go before a large one's hundredth, whenever they were queued.
 */
const BAND = 690_000;
const BANDS: Record<Urgency, number> = { high: 0, normal: 1, low: 2 };

/** `overflow` is priority mail that no provider took at once: ahead of everything. */
export type BatchUrgency = Urgency | 'overflow';

export function jobPriority(urgency: BatchUrgency, batchNumber: number): number {
  // Jobs without a priority go before all that have one.
  if (urgency === 'overflow') return 0;
  return 1 + BANDS[urgency] * BAND + Math.min(batchNumber, BAND - 1);
}
