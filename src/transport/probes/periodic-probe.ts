import { reasonOf } from '../../errors.js';
import { oneLine } from '../../message/text.js';
import type { Probe, ServerLoad } from '../probe.js';
import type { Figures } from './thresholds.js';

/** Asks a server for its figures. It ends when the signal aborts. @throws Error when there is no answer or no sensible one */
export type Ask = (signal: AbortSignal) => Promise<Figures>;

/** Why a server with these figures is overloaded; undefined when bulk mail may come. @throws Error when it cannot be told */
export type Judge = (load: ServerLoad) => string | undefined | Promise<string | undefined>;

export interface PeriodicProbeSettings {
  /** Milliseconds from the end of one question to the next. */
  every: number;
  /** Milliseconds for an answer and its judgement. */
  timeout: number;
  /** Whether bulk mail goes to a server of which nothing is known. */
  onProbeFailure: 'wait' | 'send';
}

/** After an answer, so many questions in a row have to fail before the server counts as unreachable. */
const LOST_ANSWERS = 2;

/** Asks a server again and again, the next time when the last one has ended. */
export class PeriodicProbe implements Probe {
  load: ServerLoad = { state: 'unknown' };
  private lost = 0;
  private timer: NodeJS.Timeout | undefined;
  private onChange: () => void = () => undefined;
  private asking = new AbortController();
  private stopped = false;

  constructor(
    private readonly ask: Ask,
    private readonly judge: Judge,
    private readonly settings: PeriodicProbeSettings,
  ) {}

  get admits(): boolean {
    const { state } = this.load;
    if (state === 'ready' || state === 'overloaded') return state === 'ready';
    return this.settings.onProbeFailure === 'send';
  }

  async start(onChange: () => void): Promise<void> {
    if (this.stopped) return;
    this.onChange = onChange;
    await this.look();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.asking.abort(new Error('The probe has been stopped'));
  }

  private async look(): Promise<void> {
    const { admits } = this;
    const { timeout, every } = this.settings;
    const asking = (this.asking = new AbortController());
    const timer = setTimeout(() => asking.abort(new Error(`No answer within ${timeout} ms`)), timeout);
    timer.unref();
    try {
      this.answered(await orAborted(this.find(asking.signal), asking.signal));
    } catch (error) {
      this.failed(reasonOf(error));
    } finally {
      clearTimeout(timer);
    }
    if (this.stopped) return;
    this.timer = setTimeout(() => void this.look(), every);
    this.timer.unref();
    if (this.admits !== admits) this.onChange();
  }

  private async find(signal: AbortSignal): Promise<ServerLoad> {
    const figures = await this.ask(signal);
    const at = new Date();
    const reason = await this.judge({ ...figures, state: this.load.state, at });
    return reason === undefined
      ? { state: 'ready', at, ...figures }
      : { state: 'overloaded', reason: oneLine(reason), at, ...figures };
  }

  private answered(load: ServerLoad): void {
    this.lost = 0;
    this.load = load;
  }

  private failed(reason: string): void {
    this.lost++;
    const { state } = this.load;
    // One lost answer says nothing of a server that has just answered.
    if ((state === 'ready' || state === 'overloaded') && this.lost < LOST_ANSWERS) return;
    this.load = { state: 'unreachable', reason: oneLine(reason), at: new Date() };
  }
}

/** Ends when the signal aborts, also where the work does not listen to it. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort!);
  }
}
