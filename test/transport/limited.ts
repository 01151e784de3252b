import { vi } from 'vitest';
import type { Lane } from '../../src/message/message.js';
import type { Counter } from '../../src/store/counter.js';
import { RateLimit, type RateLimitSettings } from '../../src/transport/rate-limit.js';
import type { SendOptions, TransportError } from '../../src/transport/transport.js';

/** Lets time pass. */
export const later = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

interface Went {
  lane: Lane;
  at: number;
}

/** A limit of 10 messages per second, unless it says otherwise, and what came of those that asked. */
export function limited(
  settings: Partial<RateLimitSettings> = {},
  counters: Partial<Record<'all' | 'bulk', Counter>> = {},
) {
  const errors: Error[] = [];
  const all = { messages: 10, per: 1_000, reserve: 0, ...settings };
  const limit = new RateLimit('main', all, counters, (error) => errors.push(error));
  const begun = performance.now();
  const went: Went[] = [];
  const refused: TransportError[] = [];
  const take = (lane: Lane, options: Partial<SendOptions> = {}): Promise<void> =>
    limit
      .take({ lane, signal: new AbortController().signal, ...options })
      .then(() => void went.push({ lane, at: performance.now() - begun }));
  let asked = 0;
  const takeMany = (count: number, lane: Lane, options?: Partial<SendOptions>): void => {
    asked += count;
    for (let number = 0; number < count; number++)
      void take(lane, options).catch((error: TransportError) => refused.push(error));
  };
  const times = (lane?: Lane): number[] => went.filter((one) => !lane || one.lane === lane).map(({ at }) => at);
  return { take, takeMany, times, went, refused, errors, asked: () => asked };
}

/** The most that went in any span of this length. */
export function mostIn(span: number, times: number[]): number {
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + span).length));
}
