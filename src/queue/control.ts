import { setTimeout as sleep } from 'node:timers/promises';
import { splitMessageId } from '../message/ids.js';
import type { Records } from '../store/records.js';
import { promoteBatch, type MailJobQueue } from './backend.js';
import { batchIds, readRecord, writeRecord, type CampaignRecord } from './campaign-record.js';
import { keys } from './keys.js';
import type { KnownBatch, Reader } from './reader.js';
import type { Retention } from './retention.js';
import { isPending, statusOf, type MailState } from './status.js';

/** How long the worker that has the message may take to say whether it was still in time. */
const WORKER_ANSWERS_WITHIN = 120_000;
const PAGE = 100;

/** What `clean()` removes: messages of finished batches. */
export interface CleanOptions {
  /** Batches in which a message ended so; `sent` means batches without a failed message. */
  state: Extract<MailState, 'sent' | 'failed' | 'cancelled' | 'expired'>;
  /** Finished longer ago than this, in milliseconds. */
  olderThan: number;
}

/** Stops, holds and clears what is queued. */
export class Control {
  constructor(
    private readonly queue: MailJobQueue,
    private readonly records: Records,
    private readonly reader: Reader,
    private readonly retention: Retention,
  ) {}

  /** A message's or a campaign's id. True when something unsent was stopped. */
  async cancel(id: string): Promise<boolean> {
    const place = splitMessageId(id);
    if (place) return this.cancelMessage(place.batch, place.index, id);
    const report = await this.reader.campaign(id);
    if (!report || report.state === 'completed' || report.state === 'cancelled') return false;
    await this.set(id, { cancelled: true });
    await this.wake(id);
    return report.queued + report.deferred > 0 || report.state === 'queueing';
  }

  /** Holds one campaign, or the whole queue. Messages being sent are finished. */
  async pause(campaignId?: string): Promise<void> {
    if (campaignId === undefined) await this.queue.pause();
    else await this.set(campaignId, { paused: true });
  }

  async resume(campaignId?: string): Promise<void> {
    if (campaignId === undefined) return this.queue.resume();
    await this.set(campaignId, { paused: false });
    await this.wake(campaignId);
  }

  /**
   * Cancels everything that waits, scheduled mail included, and each campaign of which something waits. Returns how many
   * messages it stopped. Their batches stay until a worker has put them away, so that each can still be asked for.
   */
  async drain(): Promise<number> {
    const campaigns = new Set<string>();
    let stopped = 0;
    for (const id of await this.waitingIds()) {
      const known = await this.reader.batch(id);
      if (known?.batch.campaign) campaigns.add(known.batch.campaign.id);
      else if (known) stopped += await this.cancelBatch(known);
    }
    for (const id of campaigns) {
      const report = await this.reader.campaign(id);
      if (report && (await this.cancel(id))) stopped += report.queued + report.deferred;
    }
    return stopped;
  }

  /** Removes finished batches for good, of campaigns that have ended. Returns the messages that were in the given state. */
  async clean({ state, olderThan }: CleanOptions): Promise<number> {
    const now = Date.now();
    let cleaned = 0;
    await this.retention.remove(now, olderThan, ({ counts }) => {
      const goes = state === 'sent' ? counts.failed === 0 : counts[state] > 0;
      if (goes) cleaned += counts[state];
      return goes;
    });
    return cleaned;
  }

  private async cancelMessage(batch: string, index: number, id: string): Promise<boolean> {
    const known = await this.reader.batch(batch);
    if (!known || index >= known.batch.items.length) return false;
    if (!isPending(statusOf(known.batch, index, known.view, known.waiting(index)).state)) return false;
    await this.mark(batch, [index]);
    // A worker that took the batch before the mark was there may be handing the message over: it says which came first.
    const deadline = Date.now() + WORKER_ANSWERS_WITHIN;
    for (;;) {
      const now = await this.reader.status(id);
      if (now?.state !== 'sending') return now?.state !== 'sent' && now?.state !== 'failed';
      // Nobody knows yet; nothing was stopped as far as can be told.
      if (Date.now() > deadline) return false;
      await sleep(100);
    }
  }

  private async cancelBatch({ batch, view, waiting }: KnownBatch): Promise<number> {
    const open = batch.items.flatMap((_, index) =>
      isPending(statusOf(batch, index, view, waiting(index)).state) ? [index] : [],
    );
    await this.mark(batch.id, open);
    await promoteBatch(this.queue, batch.id);
    return open.length;
  }

  private async mark(batch: string, indexes: readonly number[]): Promise<void> {
    if (indexes.length === 0) return;
    const fields = Object.fromEntries(indexes.map((index) => [String(index), 'cancelled']));
    await this.records.merge([{ key: keys.marks(batch), fields }]);
  }

  private async waitingIds(): Promise<string[]> {
    const ids: string[] = [];
    for (const state of ['wait', 'prioritized', 'delayed'] as const) {
      for (let from = 0; ; from += PAGE) {
        const page = await this.queue.getRanges([state], from, from + PAGE - 1, true);
        ids.push(...page);
        if (page.length < PAGE) break;
      }
    }
    return ids;
  }

  /** Brings a campaign's delayed batches to a worker now; it delays those again that are not due. */
  private async wake(campaignId: string): Promise<void> {
    const [fields] = await this.records.get([keys.campaign(campaignId)]);
    if (!fields) return;
    for (const batch of batchIds(readRecord(fields))) await promoteBatch(this.queue, batch);
  }

  private async set(campaignId: string, fields: Partial<CampaignRecord>): Promise<void> {
    const [known] = await this.records.get([keys.campaign(campaignId)]);
    if (known) await this.records.merge([{ key: keys.campaign(campaignId), fields: writeRecord(fields) }]);
  }
}
