import { LANES, type Lane } from '../message/message.js';
import type { Counter } from '../store/counter.js';
import { notAsked, type SendOptions } from './transport.js';

/** At most so many messages in any span of this length. */
export interface RateLimitSettings {
  messages: number;
  /** Milliseconds. */
  per: number;
  /** Of these messages, how many are left to the priority lane. */
  reserve: number;
}

/** Of a span, added to it: messages do not travel equally fast, and the provider counts where they arrive. */
export const JITTER = 1.02;
/** A counter that does not answer within this long is left alone for the pause: mail is not held up by what counts it. */
const COUNTER_ANSWERS_WITHIN = 500;
const COUNTER_PAUSE = 5_000;
/** Bulk mail that would have to wait longer is handed back to the queue. */
const BULK_PATIENCE = 10_000;

/** What holds the messages of a transport back. */
export interface Limit {
  /** It is used up, and bulk mail waits. */
  readonly holdsBulk: boolean;
  /** Resolves when the message may go. @throws TransportError when its time does not suffice */
  take(options: SendOptions, recipients: number): Promise<void>;
  /** The provider takes so many recipients a second. */
  follow?(perSecond: number): void;
}

interface Waiter {
  lane: Lane;
  /** When it gives up; `performance.now()`. */
  until: number;
  resolve: () => void;
  reject: (error: Error) => void;
}

/**
 * Holds messages of one transport to its limit. This process keeps to it exactly, over any span; where there is a shared
 * counter, all processes together do as exactly as that counts. Bulk mail is spread evenly and leaves the reserve alone;
 * priority mail goes before it.
 */
export class RateLimit implements Limit {
  private readonly waiters: Record<Lane, Waiter[]> = { priority: [], bulk: [] };
  private readonly all: SlidingWindow;
  private readonly bulk: SlidingWindow;
  private serving = false;
  private nextBulk = 0;
  private holding = false;
  private counterPausedUntil = 0;
  /** The shared counter of bulk mail has granted a message that the one of both lanes has not yet. */
  private bulkGranted = false;
  private wake: (() => void) | undefined;

  /** @param onError the shared counter cannot be asked; until it can, this process keeps to the limit on its own */
  constructor(
    private readonly transport: string,
    private readonly settings: RateLimitSettings,
    private readonly counters: Partial<Record<'all' | 'bulk', Counter>> = {},
    private readonly onError: (error: Error) => void = () => undefined,
  ) {
    const per = settings.per * JITTER;
    this.all = new SlidingWindow(settings.messages, per);
    this.bulk = new SlidingWindow(settings.messages - settings.reserve, per);
  }

  /** It is used up, and bulk mail waits. */
  get holdsBulk(): boolean {
    return this.holding && this.waiters.bulk.length > 0;
  }

  /** Resolves when the message may go. @throws TransportError when its time does not suffice */
  take({ lane, signal, handoverWithin }: SendOptions): Promise<void> {
    const patience = lane === 'bulk' ? BULK_PATIENCE : (handoverWithin ?? Infinity);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const line = this.waiters[lane];
        const index = line.indexOf(waiter);
        if (index >= 0) line.splice(index, 1);
        waiter.reject(notAsked(this.transport, (signal.reason as Error).message, { cause: signal.reason }));
      };
      const give = (action: () => void): void => {
        signal.removeEventListener('abort', leave);
        action();
      };
      const waiter: Waiter = {
        lane,
        until: performance.now() + patience,
        resolve: () => give(resolve),
        reject: (error) => give(() => reject(error)),
      };
      if (signal.aborted) return leave();
      signal.addEventListener('abort', leave, { once: true });
      this.waiters[lane].push(waiter);
      // Who sleeps for bulk mail's sake is woken for a priority mail.
      if (lane === 'priority') this.wake?.();
      if (!this.serving) void this.serve();
    });
  }

  private async serve(): Promise<void> {
    this.serving = true;
    try {
      for (let lane = this.next(); lane; lane = this.next()) {
        const wait = await this.ask(lane);
        if (lane === 'bulk') this.holding = wait > 0;
        if (wait > 0) {
          // It came while bulk mail was counted, and does not wait for bulk mail's sake.
          if (lane === 'bulk' && this.waiters.priority.length > 0) continue;
          for (const held of lane === 'priority' ? LANES : [lane]) this.refuse(held, wait);
          await this.sleep(wait);
          continue;
        }
        // It may have left meanwhile. Its turn is then another's, though not one that bulk mail was not counted for.
        (this.waiters[lane].shift() ?? this.waiters.priority.shift())?.resolve();
      }
    } finally {
      this.serving = false;
    }
  }

  private next(): Lane | undefined {
    if (this.waiters.priority.length > 0) return 'priority';
    return this.waiters.bulk.length > 0 ? 'bulk' : undefined;
  }

  /** Counts one message; the milliseconds to wait when there is no room. */
  private async ask(lane: Lane): Promise<number> {
    const now = performance.now();
    const own = Math.max(this.all.wait(now), lane === 'bulk' ? Math.max(this.bulk.wait(now), this.nextBulk - now) : 0);
    if (own > 0) return own;
    if (lane === 'bulk' && !this.bulkGranted) {
      const wait = await this.count('bulk');
      if (wait > 0) return wait;
      this.bulkGranted = true;
    }
    const shared = await this.count('all');
    if (shared > 0) return shared;
    if (lane === 'bulk') this.bulkGranted = false;
    this.all.add(performance.now());
    if (lane === 'bulk') {
      this.bulk.add(performance.now());
      this.nextBulk =
        Math.max(this.nextBulk, now) + this.settings.per / (this.settings.messages - this.settings.reserve);
    }
    return 0;
  }

  private async count(which: 'all' | 'bulk'): Promise<number> {
    const counter = this.counters[which];
    if (!counter || performance.now() < this.counterPausedUntil) return 0;
    try {
      return await answerWithin(COUNTER_ANSWERS_WITHIN, counter.take());
    } catch (error) {
      this.counterPausedUntil = performance.now() + COUNTER_PAUSE;
      this.onError(error as Error);
      return 0;
    }
  }

  /** Those whose time is up before there is room need not wait for it. */
  private refuse(lane: Lane, wait: number): void {
    const now = performance.now();
    const { messages, per } = this.settings;
    const reply = `Its rateLimit { messages: ${messages}, per: ${per} } is used up`;
    const staying: Waiter[] = [];
    for (const waiter of this.waiters[lane]) {
      const room = Math.max(wait, this.all.wait(now, staying.length));
      if (now + room <= waiter.until) staying.push(waiter);
      else waiter.reject(notAsked(this.transport, reply, { retryAt: Date.now() + Math.ceil(room) }));
    }
    this.waiters[lane] = staying;
  }

  private async sleep(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(milliseconds, 1_000));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}

async function answerWithin<T>(milliseconds: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The times of the latest messages: no span of the window's length ever holds more than it may. */
class SlidingWindow {
  private readonly times: number[];
  private next = 0;

  constructor(
    size: number,
    private readonly per: number,
  ) {
    this.times = new Array<number>(size).fill(-Infinity);
  }

  /** Milliseconds until there is room for one more, after so many others. */
  wait(now: number, others = 0): number {
    const { length } = this.times;
    return this.times[(this.next + others) % length]! + this.per * (1 + Math.floor(others / length)) - now;
  }

  add(now: number): void {
    this.times[this.next] = now;
    this.next = (this.next + 1) % this.times.length;
  }
}
