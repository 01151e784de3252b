import { onTestFinished, vi } from 'vitest';
import type { Lane } from '../../src/message/message.js';
import type { Fields } from '../../src/store/records.js';
import { ConnectionLeases, type LeaseStore } from '../../src/transport/connection-leases.js';

/** A store of leases that a test can look into, break and hold back. Its time is `Date.now()`. */
export class MemoryLeaseStore {
  readonly kept = new Map<string, { fields: Fields; expiresAt: number }>();
  /** Awaited before each call. */
  before: (call: string) => Promise<void> = () => Promise.resolve();
  calls = 0;

  /** What one process sees of it: nothing, where it is away from that process. */
  connect(away: () => boolean = () => false): LeaseStore {
    const call = async (name: string): Promise<void> => {
      if (away()) throw new Error('It is away');
      this.calls++;
      await this.before(name);
    };
    const live = (key: string): Fields | undefined => {
      const found = this.kept.get(key);
      return found && found.expiresAt > Date.now() ? found.fields : undefined;
    };
    return {
      ready: () => call('ready'),
      records: {
        get: async (keys) => {
          await call('get');
          return keys.map(live);
        },
        unset: () => Promise.reject(new Error('Nothing takes fields out of a lease')),
        putIfAbsent: async (key, fields, expiresAt = Infinity) => {
          await call('put');
          if (live(key)) return false;
          this.kept.set(key, { fields, expiresAt });
          return true;
        },
        expire: async (keys, at) => {
          await call('expire');
          for (const key of keys) if (live(key)) this.kept.get(key)!.expiresAt = at;
        },
        delete: async (keys) => {
          await call('delete');
          for (const key of keys) this.kept.delete(key);
        },
        merge: unused,
        sweep: unused,
        scan: unused,
      },
    };
  }

  /** The leases that have not ended. */
  get live(): string[] {
    return [...this.kept].filter(([, { expiresAt }]) => expiresAt > Date.now()).map(([key]) => key);
  }
}

function unused(): never {
  throw new Error('Leases do not need this');
}

type Settings = { total?: number; reserve?: number };

/** One process's leases. */
export function process(store: LeaseStore | undefined, { total = 3, reserve = 0 }: Settings = {}) {
  const errors: string[] = [];
  const leases = new ConnectionLeases('main', total, reserve, store, ({ message }) => errors.push(message));
  onTestFinished(() => leases.close());
  const taken: (() => void)[] = [];
  /** Asks for one; it is in `taken` once it was given. */
  const take = (lane: Lane = 'bulk', signal = new AbortController().signal): Promise<void> =>
    leases.take(lane, signal).then((giveBack) => void taken.push(giveBack));
  const takeMany = (count: number, lane?: Lane): void => {
    for (let number = 0; number < count; number++) void take(lane).catch(() => undefined);
  };
  const giveBack = (): void => taken.shift()!();
  return { leases, errors, taken, take, takeMany, giveBack };
}

/** Until everyone who waits has looked again. */
export const look = () => vi.advanceTimersByTimeAsync(400);
