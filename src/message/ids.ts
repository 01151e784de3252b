import { createHash, randomBytes } from 'node:crypto';
import { asciiDomain, domainOf } from './address.js';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * A random id of 20 letters and digits (some 119 bits) behind a prefix: `p_` a priority message, `m_` a queued batch of
 * single messages, `c_` a campaign.
 */
export function newId(prefix: 'p' | 'm' | 'c'): string {
  let id = `${prefix}_`;
  while (id.length < 22) {
    // Bytes from 248 on are thrown away: 248 is the largest multiple of 62 that fits.
    for (const byte of randomBytes(24)) if (byte < 248 && id.length < 22) id += ALPHABET[byte % 62];
  }
  return id;
}

/** The id behind an `idempotencyKey`: the same for the same key, and telling nothing of it. */
export function keyedId(key: string): string {
  const hash = createHash('sha256').update(key).digest();
  let number = BigInt(`0x${hash.toString('hex')}`);
  let id = 'k_';
  for (; id.length < 22; number /= 62n) id += ALPHABET[Number(number % 62n)];
  return id;
}

/** An id that a message has to itself. If it is queued, so does the batch that it is alone in. */
export function isOwnId(id: string): boolean {
  return /^[pk]_[0-9A-Za-z]{20}$/.test(id);
}

/** Ids that callers choose end up in job ids and Message-IDs; none is taken for a message's own. */
export const CAMPAIGN_ID = /^(?![pk]_[0-9A-Za-z]{20}$)[A-Za-z0-9_-]{1,64}$/;

/** The name of a mailing list. */
export const LIST_NAME = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * A campaign's batch. Batches of a later pass, which continues an interrupted campaign, have ids of their own, so that two
 * processes that both believe to be queueing it cannot take each other's batches for their own. No campaign id has a `~`.
 */
export function batchId(campaignId: string, pass: number, number: number): string {
  return pass === 0 ? `${campaignId}-${number}` : `${campaignId}~${pass}-${number}`;
}

/** A queued message's id: its batch, and its place in it. */
export function messageId(batch: string, index: number): string {
  return isOwnId(batch) ? batch : `${batch}.${index}`;
}

export function splitMessageId(id: string): { batch: string; index: number } | undefined {
  if (isOwnId(id)) return { batch: id, index: 0 };
  const match = /^([A-Za-z0-9_~-]{1,90})\.(\d{1,7})$/.exec(id);
  return match ? { batch: match[1]!, index: Number(match[2]) } : undefined;
}

/** What `batchId` was made of; undefined for a batch that is of no campaign. */
export function splitBatchId(batch: string): { campaignId: string; pass: number; number: number } | undefined {
  const match = /^([A-Za-z0-9_-]{1,64})(?:~(\d+))?-(\d+)$/.exec(batch);
  return match ? { campaignId: match[1]!, pass: Number(match[2] ?? 0), number: Number(match[3]) } : undefined;
}

/** The id in a Message-ID header's value that may be one of ours. */
export function idOfMessageId(header: string): string | undefined {
  const local = /^\s*<?([A-Za-z0-9_~.-]{1,98})@[^@\s<>]+>?\s*$/.exec(header)?.[1];
  return local !== undefined && splitMessageId(local) ? local : undefined;
}

/** The domain of a Message-ID, by the sender's address. */
export function messageIdDomain(from: string): string {
  return asciiDomain(domainOf(from)) || 'localhost';
}

export function messageIdAt(id: string, domain: string): string {
  return `<${id}@${domain}>`;
}

/** The Message-ID header (RFC 5322 §3.6.4): the same for every try of the same message. */
export function messageIdHeader(id: string, from: string): string {
  return messageIdAt(id, messageIdDomain(from));
}
