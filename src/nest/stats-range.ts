import { MailConfigError } from '../errors.js';
import { parseDuration } from '../message/duration.js';
import { LANES, type Lane } from '../message/message.js';
import type { StatsRange } from '../queue/statistics.js';

/** What `stats()` takes. */
export interface StatsOptions {
  /** A moment, as a Date or in ISO 8601; or so long ago, such as `'15m'`, `'24h'` or `'7d'`. They go back 90 days. */
  since: Date | string;
  /** Of one lane alone. */
  lane?: Lane;
  /** Of one transport alone, by its name. What was queued, cancelled or expired belongs to none. */
  transport?: string;
}

/** @throws MailConfigError */
export function parseStatsRange({ since, lane, transport }: StatsOptions, now = Date.now()): StatsRange {
  if (lane !== undefined && !LANES.includes(lane)) {
    throw new MailConfigError(`stats({ lane }) is ${show(lane)}. Give 'priority' or 'bulk', or leave it out.`);
  }
  if (transport !== undefined && (typeof transport !== 'string' || transport === '')) {
    throw new MailConfigError(`stats({ transport }) is ${show(transport)}. Give a transport's name, or leave it out.`);
  }
  const at = parseSince(since, now);
  if (at === undefined || at > now) {
    throw new MailConfigError(
      `stats({ since }) is ${show(since)}. Give a Date or an ISO 8601 time that is past, or how long ago, such as '1h' or '7d'.`,
    );
  }
  return { since: at, ...(lane === undefined ? {} : { lane }), ...(transport === undefined ? {} : { transport }) };
}

/** Milliseconds since the epoch. */
function parseSince(since: unknown, now: number): number | undefined {
  if (since instanceof Date) return Number.isNaN(since.getTime()) ? undefined : since.getTime();
  if (typeof since !== 'string') return undefined;
  const ago = parseDuration(since);
  if (ago !== undefined) return now - ago;
  // Date.parse reads much else, such as '12'.
  const at = /^\d{4}-\d\d(-\d\d|$)/.test(since) ? Date.parse(since) : NaN;
  return Number.isNaN(at) ? undefined : at;
}

function show(value: unknown): string {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : value.toISOString();
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
