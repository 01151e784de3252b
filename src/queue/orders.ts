import { setTimeout as sleep } from 'node:timers/promises';
import type { Fields, Records } from '../store/records.js';
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

/** @param along other records to be read with it */
export async function readOrders(
  queue: MailJobQueue,
  records: Records,
  { id, campaign }: Batch,
  along: readonly string[] = [],
): Promise<{ orders: Orders; along: (Fields | undefined)[] }> {
  const [[marks, ...found], paused] = await Promise.all([
    records.get([keys.marks(id), ...along, ...(campaign ? [keys.campaign(campaign.id)] : [])]),
    queue.isPaused(),
  ]);
  const fields = found[along.length];
  const record = fields && readRecord(fields);
  const campaignPaused = record?.paused === true || record?.suspended !== undefined;
  const cancelled = record?.cancelled === true;
  const orders: Orders = {
    held: (paused || campaignPaused) && !cancelled,
    campaignPaused,
    resumedAt: record?.resumedAt ?? 0,
    cancelled,
    marks: marks ?? {},
  };
  return { orders, along: found.slice(0, along.length) };
}

/** Looks again and again until `done`. A look that fails, since the store is away, is made again. */
export async function watchOrders(look: () => Promise<void>, done: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(LOOK_EVERY, undefined, { signal: done }).catch(() => undefined);
    if (done.aborted) return;
    await look().catch(() => undefined);
  }
}
