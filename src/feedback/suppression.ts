import type { Lane } from '../message/message.js';

/** Why an address gets no more mail. */
export type SuppressionReason = 'hard-bounce' | 'complaint' | 'unsubscribed' | 'manual';
export const SUPPRESSION_REASONS: readonly SuppressionReason[] = ['hard-bounce', 'complaint', 'unsubscribed', 'manual'];

/** What an address gets no more of: any mail, bulk mail, or the campaigns of one `list`. */
export type SuppressionScope = 'all' | 'bulk' | `list:${string}`;

/** An address that gets no more of some mail. One address has at most one of each scope. */
export interface Suppression {
  /** As it was given. It is looked up without regard to case, its domain in ASCII. */
  address: string;
  scope: SuppressionScope;
  reason: SuppressionReason;
  since: Date;
  /** What the server said, or who did it. At most 500 characters. */
  note?: string;
}

/** The mail that is to be sent. */
export interface SuppressedMail {
  lane: Lane;
  /** The campaign's `list`. */
  list?: string;
}

/** Addresses that get no more mail. Every call is one round trip, and rejects while the store cannot be reached. */
export interface SuppressionList {
  /** Those of the addresses, as they are given, that are not to get this mail, and why. */
  find(addresses: readonly string[], mail: SuppressedMail): Promise<Map<string, Suppression>>;
  /** All that is known of an address. */
  get(address: string): Promise<Suppression[]>;
  /** One of the same address and scope is replaced, unless it is there for a graver reason. */
  add(suppressions: readonly Suppression[]): Promise<void>;
  /** @param scope default: all of them. @returns whether there was one */
  remove(address: string, scope?: SuppressionScope): Promise<boolean>;
  /** All of them, in no order. */
  list(): AsyncIterable<Suppression>;
}
