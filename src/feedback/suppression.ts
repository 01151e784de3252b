import { asciiDomain } from '../message/address.js';
import { LIST_NAME } from '../message/ids.js';
import type { Lane } from '../message/message.js';

/** Why an address gets no more mail. */
export type SuppressionReason = 'hard-bounce' | 'complaint' | 'unsubscribed' | 'manual';
export const SUPPRESSION_REASONS: readonly SuppressionReason[] = ['hard-bounce', 'complaint', 'unsubscribed', 'manual'];

/** What an address gets no more of: any mail, bulk mail, or the campaigns of one `list`. */
export type SuppressionScope = 'all' | 'bulk' | `list:${string}`;

/** An address that gets no more of some mail, and why. One address has at most one of each scope and reason. */
export interface Suppression {
  /** As it was given. It is looked up without regard to case, its domain in ASCII. */
  address: string;
  scope: SuppressionScope;
  reason: SuppressionReason;
  since: Date;
  /** What the server said, or who did it. At most 500 characters. */
  note?: string;
}

/** Which entries of an address are meant. */
export interface SuppressionFilter {
  /** Default: those of any scope. */
  scope?: SuppressionScope;
  /** Default: those of any reason but `unsubscribed`. Who has left comes back by their own will, not because a bounce was an error. */
  reason?: SuppressionReason;
}

/** The mail that is to be sent. */
export interface SuppressedMail {
  lane: Lane;
  /** The campaign's `list`. */
  list?: string;
}

/** Addresses that get no more mail. Every call rejects while the store cannot be reached; `find` and `add` are one round trip. */
export interface SuppressionList {
  /** Those of the addresses, as they are given, that are not to get this mail, and why: see {@link stops}. */
  find(addresses: readonly string[], mail: SuppressedMail): Promise<Map<string, Suppression>>;
  /** All that is known of an address. */
  get(address: string): Promise<Suppression[]>;
  /** One of the same address, scope and reason is replaced. */
  add(suppressions: readonly Suppression[]): Promise<void>;
  /** @returns whether there was one */
  remove(address: string, which?: SuppressionFilter): Promise<boolean>;
  /** All of them, in no order. */
  list(): AsyncIterable<Suppression>;
}

/** How the lanes heed the list, checked. */
export interface SuppressionSettings {
  /** The application's own. Undefined: the one on the queue's store. */
  list?: SuppressionList;
  priority: PrioritySuppression;
}

/** What the priority lane does with the list: it asks nothing, or does not send what {@link stops} it. */
export type PrioritySuppression = 'ignore' | 'hard-bounces';
export const PRIORITY_SUPPRESSIONS: readonly PrioritySuppression[] = ['ignore', 'hard-bounces'];

/** What is suppressed for a reason where nobody says it. */
export const SCOPES: Readonly<Record<SuppressionReason, SuppressionScope>> = {
  'hard-bounce': 'all',
  // Who calls a newsletter spam is still to get the password that they ask for.
  complaint: 'bulk',
  unsubscribed: 'bulk',
  manual: 'all',
};

/** Of several reasons the first that there is counts. */
export const GRAVEST_FIRST: readonly SuppressionReason[] = ['complaint', 'hard-bounce', 'manual', 'unsubscribed'];

/** For which a mail that somebody is waiting for is not sent. */
const STOPS_PRIORITY: ReadonlySet<SuppressionReason> = new Set(['hard-bounce', 'manual']);

/**
 * Whether mail is not to be sent for it. All bulk mail heeds the scopes `all` and `bulk`, and a campaign that of its list; mail of
 * the priority lane the scope `all` alone, and only hard bounces and what somebody suppressed by hand.
 */
export function stops(
  { scope, reason }: Pick<Suppression, 'scope' | 'reason'>,
  { lane, list }: SuppressedMail,
): boolean {
  if (lane === 'priority') return scope === 'all' && STOPS_PRIORITY.has(reason);
  return scope === 'all' || scope === 'bulk' || (list !== undefined && scope === scopeOfList(list));
}

/** The one for the gravest reason, and of equals the first. */
export function gravest(suppressions: readonly Suppression[]): Suppression | undefined {
  return suppressions.reduce<Suppression | undefined>(
    (worst, one) => (worst && gravity(worst) >= gravity(one) ? worst : one),
    undefined,
  );
}

function gravity({ reason }: Suppression): number {
  return -GRAVEST_FIRST.indexOf(reason);
}

/** Whether an entry is one of them. */
export function isMeant(
  { scope, reason }: Pick<Suppression, 'scope' | 'reason'>,
  { scope: inScope = scope, reason: because }: SuppressionFilter,
): boolean {
  return scope === inScope && (because === undefined ? reason !== 'unsubscribed' : reason === because);
}

/** What somebody leaves by a mail: its list, or all bulk mail where it is of none. */
export function scopeOfList(list: string | undefined): SuppressionScope {
  return list === undefined ? 'bulk' : `list:${list}`;
}

export function isSuppressionScope(value: unknown): value is SuppressionScope {
  if (value === 'all' || value === 'bulk') return true;
  return typeof value === 'string' && value.startsWith('list:') && LIST_NAME.test(value.slice('list:'.length));
}

/**
 * What an address is looked up by: no mail system that matters tells local parts apart by their case, and who unsubscribes or
 * bounces may write theirs in another than the campaign does.
 */
export function suppressionKey(address: string): string {
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1).toLowerCase();
  const local = address.slice(0, at).normalize('NFC').toLowerCase();
  return `${local}@${asciiDomain(domain) || domain}`;
}

const IN_WORDS: Readonly<Record<SuppressionReason, string>> = {
  'hard-bounce': 'hard bounce',
  complaint: 'complaint',
  unsubscribed: 'unsubscribed',
  manual: 'by hand',
};

/** Such as `Suppressed: hard bounce on 2026-11-20 (550 5.1.1 No such user)`. */
export function suppressionReply({ scope, reason, since, note }: Suppression): string {
  const list = scope.startsWith('list:') ? ` for the list ${scope.slice('list:'.length)}` : '';
  const day = since.toISOString().slice(0, 10);
  return `Suppressed${list}: ${IN_WORDS[reason]} on ${day}${note ? ` (${note})` : ''}`;
}
