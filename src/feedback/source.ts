import type { Feedback } from './feedback.js';

/** A request as it came in: nobody has vouched for it yet. */
export interface FeedbackRequest {
  /** By lower-case names. Of several values the last. */
  headers: Readonly<Record<string, string | undefined>>;
  /** The very bytes. */
  body: Buffer;
  /** When it came in. */
  now: Date;
}

/** Why a request is not believed. */
export type RefusalReason = 'forged' | 'stale' | 'malformed' | 'unknown-topic';

/** A request that is not believed, or cannot be understood. Its message names no secret. */
export class FeedbackRefusal extends Error {
  constructor(
    readonly reason: RefusalReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'FeedbackRefusal';
  }
}

/** One provider's webhook: what it signs, and what it says. */
export interface FeedbackSource {
  /** Of the provider; the last part of its path. */
  readonly name: string;
  /**
   * Verifies the request before it reads anything of it. A request without news gives an empty list.
   *
   * @throws FeedbackRefusal
   */
  read(request: FeedbackRequest): Promise<Feedback[]>;
}
