import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SteadyRate {
  perSecond: number;
  seconds: number;
}

/** Milliseconds. */
export interface SteadyResult {
  /** Of each mail, from when it was meant to be sent until the server had accepted it. */
  took: number[];
  /** How late the event loop came to its timers. */
  loopDelay: { p50: number; p99: number; max: number };
}

const RESOLUTION = 2;

/**
 * Sends at a steady rate whether or not earlier mails have been answered, and counts from the time meant: a stall of the
 * process also holds up those that it could not even begin.
 */
export async function sendSteadily(
  { perSecond, seconds }: SteadyRate,
  send: () => Promise<unknown>,
): Promise<SteadyResult> {
  const count = Math.round(perSecond * seconds);
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION });
  loop.enable();
  const started = performance.now();
  const running: Promise<number>[] = [];
  for (let n = 0; n < count; n++) {
    // Spread over the interval, lest they keep step with something else that is periodic.
    const meant = started + ((n + ((n * 0.618) % 1)) * 1_000) / perSecond;
    const early = meant - performance.now();
    if (early > 0) await sleep(early);
    running.push(send().then(() => performance.now() - meant));
  }
  const took = await Promise.all(running);
  loop.disable();
  const delay = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION);
  return {
    took,
    loopDelay: { p50: delay(loop.percentile(50)), p99: delay(loop.percentile(99)), max: delay(loop.max) },
  };
}
