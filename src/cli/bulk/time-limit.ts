import { TimeOver } from '../failure.js';

/** What a timer of Node.js can wait. Milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** How long a command may take, from now on. */
export class TimeLimit {
  private readonly gone = new AbortController();
  private readonly startedAt = performance.now();

  /** @param length milliseconds. Undefined: as long as it likes */
  constructor(private readonly length: number | undefined) {
    if (length !== undefined) setTimeout(() => this.gone.abort(new TimeOver()), Math.min(length, LONGEST)).unref();
  }

  /** Aborts with a `TimeOver`. */
  get over(): AbortSignal {
    return this.gone.signal;
  }

  /** Milliseconds. Undefined: as long as it likes. */
  get left(): number | undefined {
    return this.length === undefined ? undefined : Math.max(0, this.length - (performance.now() - this.startedAt));
  }
}
