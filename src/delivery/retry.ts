import type { FailureKind, Rejection } from '../transport/transport.js';
import type { RecipientFact, SlotState, Unplaced } from './ledger.js';

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

/** Between tries of a transport that does not work, or has no room. */
export const TROUBLE = { firstPause: 1_000, maxPause: 15 * 60_000 };

/** Doubling with each attempt, spread over the upper half of the pause, so that many do not come back at once. */
export function pauseAfter(attempts: number, policy: Pick<RetryPolicy, 'firstPause' | 'maxPause'>): number {
  const pause = Math.min(policy.maxPause, policy.firstPause * 2 ** Math.min(attempts - 1, 30));
  return Math.round(pause * (0.5 + Math.random() / 2));
}

/** What becomes of a recipient that was not accepted: it has failed, or waits for its next attempt. */
export type Verdict = Unplaced<Extract<RecipientFact, { kind: 'failed' | 'deferred' }>>;

/**
 * @param transport none when it is the message that could not be made
 * @param known of the recipient before this answer
 * @param at when the answer came
 */
export function verdictOn(
  { kind, permanent, reply, replyCode, enhancedCode }: Omit<Rejection, 'address'>,
  transport: string | undefined,
  known: SlotState | undefined,
  policy: RetryPolicy,
  at: number,
): Verdict {
  const why = {
    reply,
    ...(transport === undefined ? {} : { transport }),
    ...(replyCode === undefined ? {} : { replyCode }),
    ...(enhancedCode === undefined ? {} : { enhancedCode }),
  };
  const { attempts = 0, yields = 0, paused = 0 } = known ?? {};
  const failed = { kind: 'failed', at, ...why } as const;
  if (permanent || paused >= policy.maxAge) return failed;
  // What is said of the transport says nothing about a recipient.
  if (kind === 'busy' || kind === 'down') {
    return { kind: 'deferred', at, until: at + pauseAfter(yields + 1, TROUBLE), ...why, yielded: true };
  }
  if (attempts + 1 >= policy.attempts) return failed;
  return { kind: 'deferred', at, until: at + pauseOf(kind, attempts + 1, policy), ...why };
}

function pauseOf(kind: FailureKind | undefined, attempts: number, policy: RetryPolicy): number {
  return kind === 'greylisted' ? policy.greylistPause : pauseAfter(attempts, policy);
}

export function pauseAfterTrouble(troublesInARow: number): number {
  return pauseAfter(troublesInARow, TROUBLE);
}
