import { createHash, type Hash } from 'node:crypto';
import { batchId, messageIdDomain } from '../message/ids.js';
import type { ParsedBulk } from '../message/parse.js';
import type { Fields } from '../store/records.js';

/** Batches that one call of `sendBulk` queued; their numbers run from 0. */
export interface Pass {
  batches: number;
  recipients: number;
}

/** What is stored of a campaign beside its batches. */
export interface CampaignRecord {
  id: string;
  name?: string;
  /** The mailing list that it is for. */
  list?: string;
  /** Of its Message-IDs. Undefined where senders differ. */
  domain?: string;
  startedAt: number;
  /** What each call that queued recipients of it has durably queued. A later one continues where others ended. */
  passes: Pass[];
  /** Every recipient of the source has been queued. */
  complete: boolean;
  /** The process that queues it said so last at this time. */
  seenAt: number;
  /** Its source or the queue failed midway. */
  failed: boolean;
  paused: boolean;
  cancelled: boolean;
  /** When somebody resumed it last; 0 when nobody has. */
  resumedAt: number;
  /** It stands still until somebody resumes it. */
  suspended?: Suspended;
  lastError?: string;
  /** Tells another campaign under the same id. */
  fingerprint: string;
}

/** When and where a campaign stopped, and what the transports said. */
export interface Suspended {
  /** Milliseconds since the epoch. */
  at: number;
  error: string;
  /** The message it stopped at. */
  place: string;
}

export function newRecord(
  id: string,
  fingerprint: string,
  { name, list, from }: Pick<ParsedBulk, 'name' | 'list' | 'from'>,
  now: number,
): Partial<CampaignRecord> & { id: string } {
  return {
    id,
    startedAt: now,
    seenAt: now,
    fingerprint,
    ...(name === undefined ? {} : { name }),
    ...(list === undefined ? {} : { list }),
    ...(from.address.includes('{{') ? {} : { domain: messageIdDomain(from.address) }),
  };
}

/**
 * What makes it the same campaign: who says what, and then the attachments' names and what they contain. Times and urgency may
 * differ when it is continued.
 */
export function beginFingerprint(bulk: ParsedBulk): Hash {
  const { from, replyTo, subject, text, html, headers, rendering, list } = bulk;
  const said = [
    from,
    replyTo,
    subject,
    text,
    html,
    headers,
    ...(rendering ? [rendering] : []),
    ...(list ? [{ list }] : []),
  ];
  return createHash('sha256').update(JSON.stringify(said));
}

export function endFingerprint(hash: Hash): string {
  return hash.digest('base64url').slice(0, 22);
}

/** Recipients durably queued by all passes. */
export function queuedRecipients({ passes }: CampaignRecord): number {
  return passes.reduce((sum, { recipients }) => sum + recipients, 0);
}

/** The ids of the batches that are known to be queued. */
export function* batchIds({ id, passes }: CampaignRecord): Iterable<string> {
  for (const [pass, { batches }] of passes.entries()) {
    for (let number = 0; number < batches; number++) yield batchId(id, pass, number);
  }
}

/** One pass as fields of its own: a process that lost the campaign to another cannot rewind what that one wrote. */
export function writePass(pass: number, { batches, recipients }: Pass): Fields {
  return { [`${PASS}${pass}`]: `${batches} ${recipients}` };
}

const PASS = 'pass ';

/** It holds for what was resumed last: a worker that comes late with it does not stop what was resumed since. */
export function writeSuspension({ resumedAt }: Pick<CampaignRecord, 'resumedAt'>, suspended: Suspended): Fields {
  const { at, error, place } = suspended;
  return { suspended: JSON.stringify([resumedAt, at, error, place]), lastError: error };
}

function readSuspension(field: string | undefined, resumedAt: number): Suspended | undefined {
  if (field === undefined) return undefined;
  const [since, at, error, place] = JSON.parse(field) as [number, number, string, string];
  return since === resumedAt ? { at, error, place } : undefined;
}

/** As a record's fields: numbers in decimal, truth as 1 or 0. */
export function writeRecord({ passes: _, suspended: __, ...record }: Partial<CampaignRecord>): Fields {
  const fields: Record<string, string> = {};
  for (const [name, value] of Object.entries(record)) {
    if (value !== undefined) fields[name] = typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
  }
  return fields;
}

export function readRecord(fields: Fields): CampaignRecord {
  const number = (name: string): number => Number(fields[name] ?? 0);
  const truth = (name: string): boolean => fields[name] === '1';
  const resumedAt = number('resumedAt');
  const suspended = readSuspension(fields['suspended'], resumedAt);
  return {
    id: fields['id'] ?? '',
    startedAt: number('startedAt'),
    passes: readPasses(fields),
    complete: truth('complete'),
    seenAt: number('seenAt'),
    failed: truth('failed'),
    paused: truth('paused'),
    cancelled: truth('cancelled'),
    resumedAt,
    ...(suspended ? { suspended } : {}),
    fingerprint: fields['fingerprint'] ?? '',
    ...(fields['name'] === undefined ? {} : { name: fields['name'] }),
    ...(fields['list'] === undefined ? {} : { list: fields['list'] }),
    ...(fields['domain'] === undefined ? {} : { domain: fields['domain'] }),
    ...(fields['lastError'] === undefined ? {} : { lastError: fields['lastError'] }),
  };
}

function readPasses(fields: Fields): Pass[] {
  const passes: Pass[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (!name.startsWith(PASS)) continue;
    const [batches = 0, recipients = 0] = value.split(' ').map(Number);
    passes[Number(name.slice(PASS.length))] = { batches, recipients };
  }
  // A pass that was claimed and wrote nothing leaves a hole.
  return Array.from(passes, (pass) => pass ?? { batches: 0, recipients: 0 });
}
