/** When a message is tried again, and when it is given up. Times are milliseconds. */
export interface RetryPolicy {
  /** Answers about one recipient before it is given up. */
  attempts: number;
  /** Given up when this long has passed since the first attempt. */
  maxAge: number;
  /** Before the second attempt; doubles with each. */
  firstPause: number;
  maxPause: number;
}

/** Between tries of a transport that does not work. */
const TROUBLE = { firstPause: 1_000, maxPause: 15 * 60_000 };

/** Doubling with each attempt, spread over the upper half of the pause, so that many do not come back at once. */
export function pauseAfter(attempts: number, policy: Pick<RetryPolicy, 'firstPause' | 'maxPause'>): number {
  const pause = Math.min(policy.maxPause, policy.firstPause * 2 ** Math.min(attempts - 1, 30));
  return Math.round(pause * (0.5 + Math.random() / 2));
}

export function pauseAfterTrouble(troublesInARow: number): number {
  return pauseAfter(troublesInARow, TROUBLE);
}
