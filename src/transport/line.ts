import type { Pick as PickOne } from './balance.js';
import type { Dispatch, NoRoom, Route } from './dispatch.js';
import type { GuardedTransport } from './guarded.js';
import { PlacedRoute, type Places } from './placed-route.js';
import type { Ranked } from './ranking.js';
import { noRoomAt, roomAt } from './room.js';

/** A transport that messages may take; those that are near go before the others. */
export type Candidate = Pick<Ranked, 'transport' | 'near'>;

/** Serves the lines of a process, which may want the same transports. */
export interface Usher {
  /** Messages wait in a line. */
  readonly crowded: boolean;
  /** A message waits in this line. */
  expect(line: Line): void;
  /** There may be room. */
  serve(): void;
}

interface Waiter {
  wanted: () => boolean;
  /** `performance.now()`. */
  since: number;
  resolve: (found: Route | NoRoom | undefined) => void;
  reject: (error: unknown) => void;
}

/** An order of transports is good for this long; milliseconds. */
const RANKED_FOR = 100;

/** Messages that may take the same transports, in the order in which they came. */
export class Line implements Dispatch, Places {
  private readonly waiters: Waiter[] = [];
  private candidates: readonly Candidate[] = [];
  private rankedAt = -Infinity;
  /** Since when no transport has room, nor will have soon; `performance.now()`. */
  private awaySince: number | undefined;
  private soonest = Infinity;

  /** @param patience milliseconds that messages wait while no transport will have room soon */
  constructor(
    private readonly usher: Usher,
    private readonly rank: () => readonly Candidate[],
    private readonly pick: PickOne,
    private readonly patience: number,
  ) {}

  get empty(): boolean {
    return this.waiters.length === 0;
  }

  /** In how many milliseconds there may be room, as far as that was known when there was none. */
  get within(): number {
    return this.soonest;
  }

  get acceptedAt(): number {
    return Math.max(0, ...this.rank().map(({ transport }) => transport.bulkAcceptedAt));
  }

  next(wanted: () => boolean): Promise<Route | NoRoom | undefined> {
    if (!this.usher.crowded) {
      const transport = this.take([]);
      if (transport) return Promise.resolve(this.routeFrom(transport));
    }
    return new Promise((resolve, reject) => {
      this.waiters.push({ wanted, since: performance.now(), resolve, reject });
      this.usher.expect(this);
      if (this.patience === 0) this.dismiss();
    });
  }

  /** Gives the first one a place, if there is room. */
  serve(): boolean {
    while (this.waiters[0] && !this.remains(this.waiters[0])) this.waiters.shift();
    const [waiter] = this.waiters;
    const transport = waiter && this.take([]);
    if (!transport) return false;
    this.waiters.shift();
    waiter.resolve(this.routeFrom(transport));
    return true;
  }

  /** Ends waits that are of no use any more. */
  dismiss(): void {
    const now = performance.now();
    const away = this.ranked().every(({ transport }) => roomAt(transport).state === 'away');
    this.awaySince = away ? (this.awaySince ?? now) : undefined;
    const { awaySince } = this;
    for (const waiter of this.waiters.splice(0)) {
      if (!this.remains(waiter)) continue;
      const waited = awaySince === undefined ? -1 : now - Math.max(awaySince, waiter.since);
      if (waited < this.patience) this.waiters.push(waiter);
      else waiter.resolve(noRoomAt(this.candidates.map(({ transport }) => transport)));
    }
  }

  take(tried: readonly GuardedTransport[]): GuardedTransport | undefined {
    const near: GuardedTransport[] = [];
    const far: GuardedTransport[] = [];
    this.soonest = Infinity;
    for (const candidate of this.ranked()) {
      if (tried.includes(candidate.transport)) continue;
      const room = roomAt(candidate.transport);
      if (room.state === 'free') (candidate.near ? near : far).push(candidate.transport);
      else this.soonest = Math.min(this.soonest, room.within);
    }
    const free = near.length > 0 ? near : far;
    const transport = free.length > 1 ? this.pick(free) : free[0];
    transport?.window.enter();
    return transport;
  }

  leave(transport: GuardedTransport): void {
    transport.window.leave();
    this.usher.serve();
  }

  /** It is wanted still; otherwise its wait has ended. */
  private remains({ wanted, resolve, reject }: Waiter): boolean {
    try {
      if (wanted()) return true;
      resolve(undefined);
    } catch (error) {
      reject(error);
    }
    return false;
  }

  private routeFrom(transport: GuardedTransport): Route {
    return new PlacedRoute(this, transport, this.candidates.length);
  }

  private ranked(): readonly Candidate[] {
    const now = performance.now();
    if (now - this.rankedAt >= RANKED_FOR) {
      this.candidates = this.rank();
      this.rankedAt = now;
    }
    return this.candidates;
  }
}
