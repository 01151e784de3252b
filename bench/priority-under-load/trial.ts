import type { SlowLine } from '../lib/slow-line.js';
import type { App } from './app.js';
import type { SteadyResult } from './steady-sends.js';

export type Phase = 'idle' | 'bulk in the same process' | 'bulk in another process';

/** Milliseconds. */
export const ROUND_TRIP = 20;
const PER_SECOND = 50;
const WARM_UP = 2;
const MEASURED = 13;

/** One phase, run once. */
export interface Run extends SteadyResult {
  phase: Phase;
  /** Bulk mails delivered a second meanwhile. */
  bulkPerSecond: number;
  /** Milliseconds that NOOPs from a process with nothing else to do took meanwhile. */
  roundTrips: number[];
}

/** One application that sends priority mail, and one beside it that only ever delivers bulk. */
export class Trial {
  readonly runs: Run[] = [];
  readonly faults: string[] = [];
  /** Of all priority mail. */
  readonly recipients: string[] = [];
  readonly #app: App;
  readonly #other: App;
  readonly #line: SlowLine;
  readonly #sent = new Map<App, number>();

  constructor(app: App, other: App, line: SlowLine) {
    this.#app = app;
    this.#other = other;
    this.#line = line;
  }

  /** Bulk mails that were delivered, as the module counts them. */
  get bulkSent(): number {
    return [...this.#sent.values()].reduce((sum, count) => sum + count, 0);
  }

  async run(phase: Phase): Promise<void> {
    const bulk = phase === 'idle' ? undefined : phase === 'bulk in another process' ? this.#other : this.#app;
    await bulk?.startBulk();
    await this.#prioritise(WARM_UP);
    const before = await bulk?.bulkProgress();
    const started = performance.now();
    const probing = new AbortController();
    const roundTrips = this.#probe(probing.signal);
    const { took, loopDelay } = await this.#prioritise(MEASURED);
    probing.abort();
    const seconds = (performance.now() - started) / 1_000;
    const after = await bulk?.bulkProgress();
    const bulkPerSecond = ((after?.sent ?? 0) - (before?.sent ?? 0)) / seconds;
    this.runs.push({ phase, took, loopDelay, bulkPerSecond, roundTrips: await roundTrips });
    if (!bulk) return;

    if (after?.pending === 0) this.faults.push('The worker had run out of bulk mail before the phase was over');
    const { queued, sent, failed } = await bulk.endBulk();
    this.#sent.set(bulk, sent);
    if (sent !== queued) this.faults.push(`Of ${queued} bulk mails ${sent} were sent and ${failed} failed`);
  }

  async #probe(signal: AbortSignal): Promise<number[]> {
    const took: number[] = [];
    while (!signal.aborted) took.push(...(await this.#line.measure(5)));
    return took;
  }

  async #prioritise(seconds: number): Promise<SteadyResult> {
    const label = `run${this.runs.length}.${seconds}.`;
    const result = await this.#app.prioritise({ perSecond: PER_SECOND, seconds, label });
    this.recipients.push(...result.recipients);
    return result;
  }
}
