import type { FailureKind } from '../transport/transport.js';

/** When a message is tried again, and when it is given up. Times are milliseconds. */
export interface RetryPolicy {
  /** Answers about one recipient before it is given up. */
  attempts: number;
  /** Given up when it has spent this long in pauses of its own. */
  maxAge: number;
  /** Before the second attempt; doubles with each. */
  firstPause: number;
  maxPause: number;
  /** After a server that wants to be asked again in some minutes. */
  greylistPause: number;
}

/** What is known of a recipient that was not refused for good. */
export interface Tried {
  /** Answers about it so far, this one included. */
  attempts: number;
  /** How often it was put off by a transport that was busy, this time included. */
  yields: number;
}

/** Between tries of a transport that does not work, or has no room. */
const TROUBLE = { firstPause: 1_000, maxPause: 15 * 60_000 };

/** Doubling with each attempt, spread over the upper half of the pause, so that many do not come back at once. */
export function pauseAfter(attempts: number, policy: Pick<RetryPolicy, 'firstPause' | 'maxPause'>): number {
  const pause = Math.min(policy.maxPause, policy.firstPause * 2 ** Math.min(attempts - 1, 30));
  return Math.round(pause * (0.5 + Math.random() / 2));
}

/** @param kind of the failure that put it off */
export function pauseOf(kind: FailureKind, { attempts, yields }: Tried, policy: RetryPolicy): number {
  if (kind === 'busy' || kind === 'down') return pauseAfter(yields, TROUBLE);
  if (kind === 'greylisted') return policy.greylistPause;
  return pauseAfter(attempts, policy);
}

export function pauseAfterTrouble(troublesInARow: number): number {
  return pauseAfter(troublesInARow, TROUBLE);
}
