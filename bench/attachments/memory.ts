/** Bytes. */
export interface Memory {
  rss: number;
  /** What V8 holds, live and garbage. */
  heap: number;
  /** What its objects hold outside of it, buffers among it. */
  outside: number;
}

const EVERY = 50;

/** Looks again and again at what this process holds. */
export class MemoryWatch {
  #peak = memory();

  constructor() {
    setInterval(() => this.#look(), EVERY).unref();
  }

  /** The most of each since it was asked last. */
  take(): Memory {
    this.#look();
    const peak = this.#peak;
    this.#peak = memory();
    return peak;
  }

  #look(): void {
    const now = memory();
    for (const of of ['rss', 'heap', 'outside'] as const) this.#peak[of] = Math.max(this.#peak[of], now[of]);
  }
}

function memory(): Memory {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed, outside: external };
}
