import { reasonOf } from '../../errors.js';
import { TransportError } from '../transport.js';
import type { SesAccount } from './account.js';

export interface AccountListener {
  /** Recipients a second. */
  rate(perSecond: number): void;
  /** SES cannot be asked at all. */
  failed(error: TransportError): void;
  /** It will not say, and is not asked again. */
  denied(reason: string): void;
}

/** For the first answer, which the application's start waits for. Milliseconds. */
const FIRST_WITHIN = 5_000;
const LATER_WITHIN = 30_000;
const EVERY = 15 * 60_000;
/** SES answers such questions once a second, to all processes together. */
const AGAIN_AFTER = 30_000;
const SPREAD = 0.5;

/** Asks now and then what the account may do, and tells what has changed. */
export class AccountWatch {
  private timer: NodeJS.Timeout | undefined;
  private readonly ending = new AbortController();

  constructor(
    private readonly ask: (signal: AbortSignal) => Promise<SesAccount>,
    private readonly listener: AccountListener,
  ) {}

  /** Resolves with the first answer, or when there is none in time. */
  start(): Promise<void> {
    return this.look(FIRST_WITHIN);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.ending.abort(new Error('The mail transport is closing'));
  }

  private async look(within: number): Promise<void> {
    const signal = AbortSignal.any([this.ending.signal, AbortSignal.timeout(within)]);
    let next = EVERY;
    try {
      const { rate } = await this.ask(signal);
      if (rate !== undefined) this.listener.rate(rate);
    } catch (error) {
      if (this.ending.signal.aborted) return;
      if (isDenied(error)) return this.listener.denied(reasonOf(error));
      next = AGAIN_AFTER;
      if (error instanceof TransportError && error.kind === 'down') this.listener.failed(error);
    }
    if (this.ending.signal.aborted) return;
    this.timer = setTimeout(() => void this.look(LATER_WITHIN), next * (1 + SPREAD * Math.random()));
    this.timer.unref();
  }
}

/** The credentials are good, and do not go so far. */
export function isDenied(error: unknown): boolean {
  return error instanceof TransportError && error.phase === 'mail' && error.answered;
}
