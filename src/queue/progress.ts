import type { LedgerView } from '../delivery/ledger.js';
import type { Fields } from '../store/records.js';
import type { Batch } from './batch.js';

/** How far one batch, or a whole campaign, has come: recipients by state. */
export interface Progress {
  sent: number;
  failed: number;
  deferred: number;
  cancelled: number;
  /** Of the cancelled: those that the suppression list stopped. */
  suppressed: number;
  expired: number;
  /** When the latest of them was recorded; 0 when none was. */
  at: number;
  /** When anything was accepted last; 0 when nothing was. */
  acceptedAt: number;
  /** How often something that had failed was to be tried anew. */
  reopenings: number;
}

/**
 * A batch's progress as a field of its campaign's record: one for each writer, since a worker that comes back late knows
 * less than the one that took over from it.
 */
export function progressField({ id, campaign }: Batch, view: LedgerView, writer: string): Fields {
  const { sent, failed, deferred, cancelled, expired } = view.count();
  const values = [
    sent,
    failed,
    deferred,
    cancelled,
    expired,
    view.lastAt,
    view.acceptedAt,
    view.reopenings,
    view.suppressed,
  ];
  return { [`${id.slice(campaign?.id.length)} ${writer}`]: values.join(' ') };
}

/** The sum over the batches, of each what the best-informed writer said. */
export function readProgress(fields: Fields | undefined): Progress {
  const batches = new Map<string, Progress>();
  for (const [field, value] of Object.entries(fields ?? {})) {
    const batch = field.slice(0, field.indexOf(' '));
    const progress = parse(value);
    const known = batches.get(batch);
    if (!known || isNewer(progress, known)) batches.set(batch, progress);
  }
  const sum = {
    sent: 0,
    failed: 0,
    deferred: 0,
    cancelled: 0,
    suppressed: 0,
    expired: 0,
    at: 0,
    acceptedAt: 0,
    reopenings: 0,
  };
  for (const progress of batches.values()) {
    for (const state of ['sent', 'failed', 'deferred', 'cancelled', 'suppressed', 'expired'] as const)
      sum[state] += progress[state];
    sum.at = Math.max(sum.at, progress.at);
    sum.acceptedAt = Math.max(sum.acceptedAt, progress.acceptedAt);
    sum.reopenings += progress.reopenings;
  }
  return sum;
}

function parse(value: string): Progress {
  const [sent = 0, failed = 0, deferred = 0, cancelled = 0, expired = 0, ...rest] = value.split(' ').map(Number);
  const [at = 0, acceptedAt = 0, reopenings = 0, suppressed = 0] = rest;
  return { sent, failed, deferred, cancelled, suppressed, expired, at, acceptedAt, reopenings };
}

/** Who knows of more that is settled knows more, unless what had failed was tried anew since. */
function isNewer(one: Progress, other: Progress): boolean {
  if (one.reopenings !== other.reopenings) return one.reopenings > other.reopenings;
  const settled = (progress: Progress): number =>
    progress.sent + progress.failed + progress.cancelled + progress.expired;
  return settled(one) - settled(other) > 0 || (settled(one) === settled(other) && one.at > other.at);
}
