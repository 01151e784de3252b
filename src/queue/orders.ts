import { setTimeout as sleep } from 'node:timers/promises';
import type { Records } from '../store/records.js';
import type { MailJobQueue } from './backend.js';
import type { Batch } from './batch.js';
import { readRecord } from './campaign-record.js';
import { keys } from './keys.js';

/** What somebody decided about a batch, its campaign, or the whole queue. */
export interface Orders {
  /** Nothing of it is to be sent for now. What is cancelled is not held: that is still to be recorded. */
  held: boolean;
  /** It is the batch's own campaign that is paused, or suspended. */
  campaignPaused: boolean;
  /** When the campaign was resumed last; 0 when it was not. */
  resumedAt: number;
  cancelled: boolean;
  /** Messages that are cancelled, by their place. */
  marks: Readonly<Record<string, string>>;
}

/** Looked up this often while a batch is being delivered. */
const LOOK_EVERY = 500;

export async function readOrders(queue: MailJobQueue, records: Records, { id, campaign }: Batch): Promise<Orders> {
  const [[marks, fields], paused] = await Promise.all([
    records.get([keys.marks(id), ...(campaign ? [keys.campaign(campaign.id)] : [])]),
    queue.isPaused(),
  ]);
  const record = fields && readRecord(fields);
  const campaignPaused = record?.paused === true || record?.suspended !== undefined;
  const cancelled = record?.cancelled === true;
  return {
    held: (paused || campaignPaused) && !cancelled,
    campaignPaused,
    resumedAt: record?.resumedAt ?? 0,
    cancelled,
    marks: marks ?? {},
  };
}

/** Looks again and again until `done`. While the store is away nothing is told. */
export async function watchOrders(
  look: () => Promise<Orders>,
  tell: (orders: Orders) => void,
  done: AbortSignal,
): Promise<void> {
  for (;;) {
    await sleep(LOOK_EVERY, undefined, { signal: done }).catch(() => undefined);
    if (done.aborted) return;
    await look().then(tell, () => undefined);
  }
}
