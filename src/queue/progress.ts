import type { LedgerView } from '../delivery/ledger.js';
import type { Fields } from '../store/records.js';
import { recipientCount, type Batch } from './batch.js';

/** How far one batch, or a whole campaign, has come: recipients by state. */
export interface Progress {
  total: number;
  sent: number;
  failed: number;
  deferred: number;
  cancelled: number;
  expired: number;
  /** When the latest of them was recorded; 0 when none was. */
  at: number;
}

const NONE: Progress = { total: 0, sent: 0, failed: 0, deferred: 0, cancelled: 0, expired: 0, at: 0 };

/** A batch's progress as the field of its campaign's record. The same facts always make the same value. */
export function progressField(batch: Batch, view: LedgerView): Fields {
  const { sent, failed, deferred, cancelled, expired } = view.count();
  const values = [recipientCount(batch), sent, failed, deferred, cancelled, expired, view.lastAt];
  return { [String(batch.campaign?.number ?? 0)]: values.join(' ') };
}

export function readProgress(fields: Fields | undefined): Progress {
  const sum = { ...NONE };
  for (const value of Object.values(fields ?? {})) {
    const [total = 0, sent = 0, failed = 0, deferred = 0, cancelled = 0, expired = 0, at = 0] = value
      .split(' ')
      .map(Number);
    sum.total += total;
    sum.sent += sent;
    sum.failed += failed;
    sum.deferred += deferred;
    sum.cancelled += cancelled;
    sum.expired += expired;
    sum.at = Math.max(sum.at, at);
  }
  return sum;
}
