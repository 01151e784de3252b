import { createHash } from 'node:crypto';
import type { ParsedBulk } from '../message/parse.js';
import type { Fields } from '../store/records.js';

/** What is stored of a campaign beside its batches. */
export interface CampaignRecord {
  id: string;
  name?: string;
  startedAt: number;
  /** Recipients durably queued. */
  queued: number;
  /** Batches durably queued; their numbers run from 0. */
  batches: number;
  /** Every recipient of the source has been queued. */
  complete: boolean;
  /** The process that queues it said so last at this time. */
  seenAt: number;
  /** Its source or the queue failed midway. */
  failed: boolean;
  paused: boolean;
  cancelled: boolean;
  lastError?: string;
  /** Tells another campaign under the same id. */
  fingerprint: string;
}

export function newRecord(id: string, bulk: ParsedBulk, now: number): CampaignRecord {
  return {
    id,
    startedAt: now,
    queued: 0,
    batches: 0,
    complete: false,
    seenAt: now,
    failed: false,
    paused: false,
    cancelled: false,
    fingerprint: fingerprintOf(bulk),
    ...(bulk.name === undefined ? {} : { name: bulk.name }),
  };
}

/** What makes it the same campaign: who says what. Times and urgency may differ when it is continued. */
export function fingerprintOf({ from, subject, text, html }: ParsedBulk): string {
  return createHash('sha256')
    .update(JSON.stringify([from, subject, text, html]))
    .digest('base64url')
    .slice(0, 22);
}

/** As a record's fields: numbers in decimal, truth as 1 or 0. */
export function writeRecord(record: Partial<CampaignRecord>): Fields {
  const fields: Record<string, string> = {};
  for (const [name, value] of Object.entries(record)) {
    if (value !== undefined) fields[name] = typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
  }
  return fields;
}

export function readRecord(fields: Fields): CampaignRecord {
  const number = (name: string): number => Number(fields[name] ?? 0);
  const truth = (name: string): boolean => fields[name] === '1';
  return {
    id: fields['id'] ?? '',
    startedAt: number('startedAt'),
    queued: number('queued'),
    batches: number('batches'),
    complete: truth('complete'),
    seenAt: number('seenAt'),
    failed: truth('failed'),
    paused: truth('paused'),
    cancelled: truth('cancelled'),
    fingerprint: fields['fingerprint'] ?? '',
    ...(fields['name'] === undefined ? {} : { name: fields['name'] }),
    ...(fields['lastError'] === undefined ? {} : { lastError: fields['lastError'] }),
  };
}
