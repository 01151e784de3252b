import type { Urgency } from '../message/message.js';

/**
 * A job's priority in BullMQ: smaller goes first, 1 to 2,097,152. Within an urgency a batch is ordered by its number in
 * its campaign, so a small campaign's first batches go before a large one's hundredth, whenever they were queued.
 */
const BAND = 690_000;
const BANDS: Record<Urgency, number> = { high: 0, normal: 1, low: 2 };

export function jobPriority(urgency: Urgency, batchNumber: number): number {
  return 1 + BANDS[urgency] * BAND + Math.min(batchNumber, BAND - 1);
}
