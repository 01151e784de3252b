import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../errors.js';
import type { Lane } from '../message/message.js';
import type { Records } from '../store/records.js';

/** A lease that is not renewed, because its process has died, ends after this long. */
const LEASE = 30_000;
/** How often one that waits for a free place looks again; spread, so that many do not look at once. */
const LOOK_AGAIN = 250;
/** A store that does not answer within this long is left alone for the pause. */
const STORE_ANSWERS_WITHIN = 1_000;
const STORE_PAUSE = 5_000;

/** Where processes that share a provider keep count. */
export interface LeaseStore {
  /** Connects if need be; rejects while the store is away. */
  ready: () => Promise<void>;
  records: Records;
}

/** One question to the store. */
interface Inquiry {
  /** What is being asked for; held meanwhile. */
  place?: number;
  /** Nobody waits for the answer any more; `place` is held by whoever did. */
  over: boolean;
}

/**
 * The connections that all processes together may have open to one provider: numbered places, each leased for a while.
 * The first `reserve` places are the priority lane's.
 *
 * Without a store, or while it is away, each process keeps to the limit on its own: mail is not held up by what counts it.
 */
export class ConnectionLeases {
  private readonly owner = randomUUID();
  private readonly held = new Set<number>();
  private readonly pending = new Set<Promise<unknown>>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private storePausedUntil = 0;

  constructor(
    private readonly transport: string,
    private readonly total: number,
    private readonly reserve: number,
    private readonly store: LeaseStore | undefined,
    private readonly onError: (error: Error) => void,
  ) {}

  /** Waits for a free place; returns what gives it back. */
  async take(lane: Lane, signal: AbortSignal): Promise<() => void> {
    for (;;) {
      const asked = this.tryTake(lane);
      this.track(asked);
      const place = await asked;
      if (this.closed) {
        if (place !== undefined) this.giveBack(this.hold(place));
        throw new Error(`The mail transport ${this.transport} is closing`);
      }
      if (place !== undefined) {
        this.timer ??= setInterval(() => this.track(this.renew()), LEASE / 3).unref();
        let given = false;
        return () => {
          if (!given) this.giveBack(place);
          given = true;
        };
      }
      await sleep(LOOK_AGAIN * (0.5 + Math.random()), undefined, { signal }).catch(() => {
        throw new Error(`All ${this.total} connections of maxTotalConnections are in use`, { cause: signal.reason });
      });
    }
  }

  /** Gives back whatever is still held. Resolves when that is recorded, or when the store has not answered for long. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    for (const place of [...this.held]) this.giveBack(place);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, STORE_ANSWERS_WITHIN)));
    await Promise.race([this.settled(), late]);
    clearTimeout(timer);
  }

  private async settled(): Promise<void> {
    // What is asked for as it closes is then given back.
    while (this.pending.size > 0) await Promise.all(this.pending);
  }

  private async tryTake(lane: Lane): Promise<number | undefined> {
    const free = this.places(lane).filter((place) => !this.held.has(place));
    const [first] = free;
    if (first === undefined) return undefined;
    if (!this.store || performance.now() < this.storePausedUntil) return this.hold(first);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const no = (): void => reject(new Error(`no answer within ${STORE_ANSWERS_WITHIN} ms`));
      timer = setTimeout(no, STORE_ANSWERS_WITHIN);
    });
    const inquiry: Inquiry = { over: false };
    try {
      return await Promise.race([this.lease(free, inquiry), late]);
    } catch (error) {
      inquiry.over = true;
      this.storePausedUntil = performance.now() + STORE_PAUSE;
      this.trouble(error);
      // Others of this process may have taken it meanwhile.
      const left = inquiry.place ?? free.find((place) => !this.held.has(place));
      return left === undefined ? undefined : this.hold(left);
    } finally {
      clearTimeout(timer);
    }
  }

  private async lease(free: readonly number[], inquiry: Inquiry): Promise<number | undefined> {
    const { ready, records } = this.store!;
    await ready();
    const known = await records.get(free.map((place) => this.key(place)));
    for (const [index, place] of free.entries()) {
      if (inquiry.over) return undefined;
      if (known[index] !== undefined || this.held.has(place)) continue;
      // Held before it is asked for, so that two connections of this process do not ask for the same.
      this.held.add(place);
      inquiry.place = place;
      let granted = false;
      try {
        granted = await this.put(place);
        if (granted) return place;
      } finally {
        if (!granted && !inquiry.over) {
          this.held.delete(place);
          delete inquiry.place;
        }
      }
    }
    return undefined;
  }

  private trouble(error: unknown): void {
    const message = `The connections of ${this.transport} are counted by each process alone for now: ${reasonOf(error)}`;
    this.onError(new Error(message, { cause: error }));
  }

  private hold(place: number): number {
    this.held.add(place);
    return place;
  }

  /** Priority takes the first places first, bulk the last. */
  private places(lane: Lane): number[] {
    const all = Array.from({ length: this.total }, (_, place) => place);
    return lane === 'priority' ? all : all.slice(this.reserve).reverse();
  }

  private put(place: number): Promise<boolean> {
    return this.store!.records.putIfAbsent(this.key(place), { owner: this.owner }, Date.now() + LEASE);
  }

  private giveBack(place: number): void {
    if (!this.held.delete(place) || !this.store) return;
    const { records } = this.store;
    const free = async (): Promise<void> => {
      const [known] = await records.get([this.key(place)]);
      if (known?.['owner'] === this.owner) await records.delete([this.key(place)]);
    };
    this.track(free());
  }

  private async renew(): Promise<void> {
    if (!this.store || this.held.size === 0) return;
    const places = [...this.held];
    const known = await this.store.records.get(places.map((place) => this.key(place)));
    const mine = places.filter((_, index) => known[index]?.['owner'] === this.owner);
    if (mine.length > 0) {
      await this.store.records.expire(
        mine.map((place) => this.key(place)),
        Date.now() + LEASE,
      );
    }
    // The store was away for longer than the lease: what nobody has taken meanwhile is taken again.
    for (const [index, place] of places.entries()) {
      if (known[index] === undefined && this.held.has(place)) await this.put(place);
    }
  }

  private track(work: Promise<unknown>): void {
    const tracked = work.catch((error: unknown) => this.trouble(error)).finally(() => this.pending.delete(tracked));
    this.pending.add(tracked);
  }

  private key(place: number): string {
    return `connection/${this.transport}/${place}`;
  }
}
