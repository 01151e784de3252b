import type { LedgerView } from '../delivery/ledger.js';
import type { MailEmitter } from '../events/emitter.js';
import { messageId } from '../message/ids.js';
import { oneLine } from '../message/text.js';
import type { Records } from '../store/records.js';
import type { Batch } from './batch.js';
import { queuedRecipients, readRecord, writeSuspension, type Suspended } from './campaign-record.js';
import { keys } from './keys.js';
import { readProgress } from './progress.js';

/** What a batch found that could go no further, and when its transports last took anything, as far as this process knows. */
export interface Standstill {
  reason: string;
  acceptedAt: number;
}

/** Longer than anybody looks at a campaign. */
const KEPT_FOR = 90 * 24 * 3_600_000;

/** Suspends a campaign that has been standing still for too long, until somebody resumes it. */
export class Suspension {
  /** @param waitForCapacity milliseconds */
  constructor(
    private readonly records: Records,
    private readonly events: Pick<MailEmitter, 'emit'>,
    private readonly waitForCapacity: number,
  ) {}

  /** When the batch has waited long enough, milliseconds since the epoch. */
  dueAt(view: LedgerView, resumedAt: number): number {
    return (view.troubledSince(resumedAt) ?? Date.now()) + this.waitForCapacity;
  }

  /**
   * Suspends the batch's campaign if nothing of it has been accepted for so long, by any process, and its transports have
   * taken nothing else either, as far as this one knows.
   */
  async consider({ id, campaign, items }: Batch, stop: Standstill, view: LedgerView, resumedAt: number): Promise<void> {
    if (!campaign || Date.now() < this.dueAt(view, resumedAt)) return;
    const [known, progress] = await this.records.get([keys.campaign(campaign.id), keys.progress(campaign.id)]);
    const record = readRecord(known ?? {});
    const { acceptedAt, sent, failed, cancelled, expired } = readProgress(progress);
    const at = Date.now();
    const seen = Math.max(acceptedAt, stop.acceptedAt);
    if (record.suspended || at < Math.max(seen + this.waitForCapacity, this.dueAt(view, record.resumedAt))) return;
    const open = items.findIndex((_, index) => !view.isSettled(String(index)));
    const suspended: Suspended = { at, error: oneLine(stop.reason), place: messageId(id, Math.max(0, open)) };
    const fields = writeSuspension(record, suspended);
    const stops = keys.suspension(campaign.id, record.resumedAt);
    // Of several batches that find this out at once, one tells of it.
    const first = await this.records.putIfAbsent(stops, fields, at + KEPT_FOR);
    const [told = fields] = first ? [] : await this.records.get([stops]);
    await this.records.merge([{ key: keys.campaign(campaign.id), fields: told }]);
    if (!first) return;
    this.events.emit('campaign-suspended', {
      campaignId: campaign.id,
      ...suspended,
      at: new Date(at),
      remaining: queuedRecipients(record) - sent - failed - cancelled - expired,
    });
  }
}
