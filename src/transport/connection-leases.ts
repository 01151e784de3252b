import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lane } from '../message/message.js';
import type { Records } from '../store/records.js';

/** A lease that is not renewed, because its process has died, ends after this long. */
const LEASE = 30_000;
/** How often one that waits for a free place looks again; spread, so that many do not look at once. */
const LOOK_AGAIN = 250;

/** Where processes that share a provider keep count. */
export interface LeaseStore {
  /** Connects if need be; rejects while the store is away. */
  ready(): Promise<void>;
  records: Records;
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
  private readonly pending = new Set<Promise<void>>();
  private timer: NodeJS.Timeout | undefined;

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
      const place = await this.tryTake(lane);
      if (place !== undefined) {
        this.timer ??= setInterval(() => this.track(this.renew()), LEASE / 3).unref();
        return () => this.giveBack(place);
      }
      await sleep(LOOK_AGAIN * (0.5 + Math.random()), undefined, { signal });
    }
  }

  /** Resolves when everything given back is recorded. */
  async settled(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await Promise.all(this.pending);
  }

  private async tryTake(lane: Lane): Promise<number | undefined> {
    const free = this.places(lane).filter((place) => !this.held.has(place));
    const [first] = free;
    if (first === undefined) return undefined;
    if (!this.store) return this.hold(first);
    try {
      await this.store.ready();
      const known = await this.store.records.get(free.map((place) => this.key(place)));
      for (const [index, place] of free.entries()) {
        if (known[index] !== undefined || this.held.has(place)) continue;
        // Held before it is asked for, so that two connections of this process do not ask for the same.
        this.held.add(place);
        if (await this.put(place)) return place;
        this.held.delete(place);
      }
      return undefined;
    } catch (error) {
      this.onError(error as Error);
      return this.hold(first);
    }
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
    for (const [index, place] of places.entries()) if (known[index] === undefined) await this.put(place);
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.onError(error as Error))
      .finally(() => this.pending.delete(tracked));
    this.pending.add(tracked);
  }

  private key(place: number): string {
    return `connection/${this.transport}/${place}`;
  }
}
