import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../delivery/work.js';
import { splitMessageId } from '../message/ids.js';
import type { Records } from '../store/records.js';
import { promoteBatch, type MailJob, type MailJobQueue } from './backend.js';
import { itemRecipients } from './batch.js';
import { batchIds, readRecord, writeRecord, type CampaignRecord } from './campaign-record.js';
import { keys } from './keys.js';
import type { KnownBatch, Reader } from './reader.js';
import type { Retention } from './retention.js';
import type { Checkpoints } from './store-ledger.js';
import type { Supplier } from './supplies.js';
import { isPending, statusOf, type MailState } from './status.js';

/** How long the worker that has the message may take to say whether it was still in time. */
const WORKER_ANSWERS_WITHIN = 120_000;
/** The same for all messages that it has under way: a body may take five minutes to be answered. */
const WORKER_ENDS_WITHIN = 6 * 60_000;
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
    private readonly checkpoints: Checkpoints,
    private readonly supplier: Pick<Supplier, 'renew'>,
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
    await this.set(campaignId, { paused: false, resumedAt: Date.now() });
    await this.wake(campaignId);
  }

  /**
   * Tries the messages of a campaign again that have failed, each as if for the first time. Returns how many there are.
   * Those of a campaign that was cancelled stay as they are.
   */
  async retryFailed(campaignId: string): Promise<number> {
    const report = await this.reader.campaign(campaignId);
    if (!report || report.state === 'cancelled') return 0;
    let reopened = 0;
    for await (const known of this.reader.batches(campaignId)) {
      const slots = slotsOf(known);
      const failed = slots.filter((slot) => known.view.get(slot)?.fact.kind === 'failed');
      if (failed.length > 0) {
        await this.supplier.renew(known.batch, known.payload);
        await this.checkpoints.reopen(known.batch, known.view, failed);
      }
      reopened += failed.length;
      // One that was reopened, and never taken up again because whoever did it was interrupted, is taken up as well.
      if (slots.some((slot) => !known.view.isSettled(slot))) await this.takeUp(known.batch.id);
    }
    return reopened;
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

  /** Brings a finished batch back into the queue. A worker that has it will not hear of what was reopened, so that is waited for. */
  private async takeUp(id: string): Promise<void> {
    const deadline = Date.now() + WORKER_ENDS_WITHIN;
    for (;;) {
      const job = await this.queue.getJob(id);
      const state = await job?.getState();
      // It fails when somebody else has done the same in the meantime: then it is looked at once more.
      if (job && state === 'completed' && (await this.reprocess(job))) return;
      // Others of it wait for their next attempt; these need not.
      if (state === 'delayed') return promoteBatch(this.queue, id);
      if ((state !== 'active' && state !== 'completed') || Date.now() > deadline) return;
      await sleep(100);
    }
  }

  private async reprocess(job: MailJob): Promise<boolean> {
    try {
      await job.retry('completed');
      return true;
    } catch (error) {
      if ((await job.getState()) === 'completed') throw error;
      return false;
    }
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

/** The names of a batch's recipients in its ledger. */
function slotsOf({ batch }: KnownBatch): string[] {
  return batch.items.flatMap((item, index) => {
    const recipients = itemRecipients(batch, item);
    return recipients.map((_, recipient) => slotOf({ recipients: () => recipients }, index, recipient));
  });
}
