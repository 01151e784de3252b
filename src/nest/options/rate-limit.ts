import { parseDuration, type Duration } from '../../message/duration.js';
import type { RateLimitSettings } from '../../transport/rate-limit.js';
import { fail, type OptionReader } from './reader.js';

/** A transport's limit. */
export interface RateLimitConfig {
  messages: number;
  per: Duration;
  /** How many of them are left to the priority lane. Default 0. */
  reserve?: number;
}

/** The `rateLimit` of one transport. @throws MailConfigError */
export function parseRateLimit(parent: OptionReader): RateLimitSettings | undefined {
  if (parent.raw('rateLimit') === undefined) return undefined;
  const reader = parent.section('rateLimit');
  const messages = reader.integer('messages', 0, 1, 1_000_000);
  if (messages === 0) fail(reader.pathOf('messages'), undefined, 'Give a whole number from 1 to 1000000.');
  if (parseDuration(reader.raw('per')) === undefined) {
    fail(reader.pathOf('per'), reader.raw('per'), "Give milliseconds or a string such as '1s', '1m' or '24h'.");
  }
  // Counters on Redis and PostgreSQL know no shorter span.
  const per = reader.duration('per', 1_000, 1_000);
  const reserve = reader.integer('reserve', 0, 0, messages - 1);
  reader.end();
  return { messages, per, reserve };
}
