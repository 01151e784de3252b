import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionLeases } from '../../src/transport/connection-leases.js';
import { look, MemoryLeaseStore, process } from './leases.js';

// The fake clock knows the global timers only.
vi.mock('node:timers/promises', () => ({
  setTimeout: (milliseconds: number, value: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason as Error);
      const wake = () => (signal.removeEventListener('abort', abort), resolve(value));
      setTimeout(wake, milliseconds);
      signal.addEventListener('abort', abort);
    }),
}));

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('two processes with one store', () => {
  it('never hold more than the total, and one takes what the other gives back', async () => {
    const store = new MemoryLeaseStore();
    const [a, b] = [process(store.connect()), process(store.connect())];
    a.takeMany(2);
    await look();
    expect(a.taken).toHaveLength(2);
    a.takeMany(4);
    b.takeMany(4);
    await look();
    expect([a.taken.length + b.taken.length, store.live.length]).toEqual([3, 3]);
    for (let round = 0; round < 7; round++) {
      (a.taken.length > 0 ? a : b).giveBack();
      await look();
      expect(store.live.length).toBe(a.taken.length + b.taken.length);
      expect(store.live.length).toBe(Math.min(3, 9 - round));
    }
    expect([a.errors, b.errors]).toEqual([[], []]);
  });

  it('hold as many as there are when both ask at the same moment for the same', async () => {
    const store = new MemoryLeaseStore();
    const all = [1, 2, 3, 4].map(() => process(store.connect()));
    for (const one of all) one.takeMany(3);
    await look();
    expect(all.flatMap(({ taken }) => taken)).toHaveLength(3);
    expect(store.live).toHaveLength(3);
  });

  it('count each transport by itself', async () => {
    const store = new MemoryLeaseStore();
    const other = new ConnectionLeases('other', 1, 0, store.connect(), () => undefined);
    const one = process(store.connect(), { total: 1 });
    await other.take('bulk', new AbortController().signal);
    await one.take();
    expect(store.live).toHaveLength(2);
    await other.close();
  });

  it('leave the reserve to the priority lane, which takes it first', async () => {
    const store = new MemoryLeaseStore();
    const settings = { total: 4, reserve: 2 };
    const [a, b] = [process(store.connect(), settings), process(store.connect(), settings)];
    a.takeMany(9);
    b.takeMany(9);
    await look();
    expect(a.taken.length + b.taken.length).toBe(2);
    await a.take('priority');
    await b.take('priority');
    expect(store.live).toHaveLength(4);
    // It is the reserve that priority mail takes first: bulk mail's places are still there.
    const c = process(new MemoryLeaseStore().connect(), settings);
    c.takeMany(2, 'priority');
    await look();
    c.takeMany(9);
    await look();
    expect(c.taken).toHaveLength(4);
  });
});

describe('a lease', () => {
  it('is renewed as long as it is held', async () => {
    const store = new MemoryLeaseStore();
    const [holder, other] = [process(store.connect()), process(store.connect())];
    holder.takeMany(3);
    await look();
    other.takeMany(1);
    for (let minute = 0; minute < 5; minute++) {
      await vi.advanceTimersByTimeAsync(60_000);
      expect([store.live.length, other.taken.length]).toEqual([3, 0]);
    }
  });

  it('of a process that has died ends after 30 s, and not before', async () => {
    const store = new MemoryLeaseStore();
    let dead = false;
    const [died, other] = [process(store.connect(() => dead)), process(store.connect())];
    died.takeMany(3);
    await vi.advanceTimersByTimeAsync(0);
    dead = true;
    other.takeMany(3);
    await vi.advanceTimersByTimeAsync(29_900);
    expect(other.taken).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(600);
    expect(other.taken).toHaveLength(3);
  });

  it('that another has taken over meanwhile is neither renewed nor ended by whoever had it', async () => {
    const store = new MemoryLeaseStore();
    const away = { late: false, other: false };
    const late = process(
      store.connect(() => away.late),
      { total: 1 },
    );
    const other = process(
      store.connect(() => away.other),
      { total: 1 },
    );
    await late.take();
    away.late = true;
    other.takeMany(1);
    await vi.advanceTimersByTimeAsync(31_000);
    expect(other.taken).toHaveLength(1);
    away.late = false;
    away.other = true;
    await vi.advanceTimersByTimeAsync(15_000);
    expect(store.live).toHaveLength(1);
    late.giveBack();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(store.live).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(14_500);
    expect(store.live).toHaveLength(0);
  });

  it('that was given back while it was being renewed stays given back', async () => {
    const store = new MemoryLeaseStore();
    const one = process(store.connect(), { total: 1 });
    await one.take();
    let renew!: () => void;
    store.before = (call) => (call === 'get' ? new Promise((resolve) => (renew ??= resolve)) : Promise.resolve());
    await vi.advanceTimersByTimeAsync(10_000);
    store.before = () => Promise.resolve();
    one.giveBack();
    await vi.advanceTimersByTimeAsync(0);
    expect(store.live).toEqual([]);
    renew();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(store.live).toEqual([]);
  });

  it('is given back once, however often one says so', async () => {
    const store = new MemoryLeaseStore();
    const one = process(store.connect(), { total: 1 });
    await one.take();
    const [giveBack] = one.taken;
    giveBack!();
    await look();
    await one.take();
    giveBack!();
    await look();
    expect(store.live).toHaveLength(1);
  });
});

describe('close()', () => {
  it('gives back all that is held, and resolves when that is recorded', async () => {
    const store = new MemoryLeaseStore();
    const one = process(store.connect());
    one.takeMany(3);
    await look();
    one.giveBack();
    await one.leases.close();
    expect(store.live).toEqual([]);
    const { calls } = store;
    one.giveBack();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(store.calls).toBe(calls);
  });

  it.each(['ready', 'get', 'put'])('gives back what is being asked for (at %s)', async (step) => {
    const store = new MemoryLeaseStore();
    const one = process(store.connect());
    let answer!: () => void;
    store.before = (call) => (call === step ? new Promise((resolve) => (answer = resolve)) : Promise.resolve());
    const asking = expect(one.take()).rejects.toThrow('The mail transport main is closing');
    await vi.advanceTimersByTimeAsync(0);
    store.before = () => Promise.resolve();
    let closed = false;
    const closing = one.leases.close().then(() => (closed = true));
    await vi.advanceTimersByTimeAsync(0);
    expect(closed).toBe(false);
    answer();
    await Promise.all([asking, closing]);
    expect(store.live).toEqual([]);
  });

  it('does not wait for a store that hangs', async () => {
    const store = new MemoryLeaseStore();
    const one = process(store.connect());
    one.takeMany(2);
    await look();
    store.before = () => new Promise(() => undefined);
    const closing = one.leases.close();
    await vi.advanceTimersByTimeAsync(1_000);
    await closing;
  });
});

describe('whoever waits', () => {
  it('is told why when the time is up', async () => {
    const one = process(new MemoryLeaseStore().connect(), { total: 2 });
    one.takeMany(2);
    await look();
    const gone = new AbortController();
    const waiting = one.take('bulk', gone.signal);
    const outcome = expect(waiting).rejects.toThrow('All 2 connections of maxTotalConnections are in use');
    await look();
    gone.abort();
    await outcome;
    one.giveBack();
    await look();
    expect(one.taken).toHaveLength(1);
  });
});

describe('without a store', () => {
  it('a process keeps to the limit and to the reserve by itself', async () => {
    const one = process(undefined, { total: 3, reserve: 1 });
    one.takeMany(5);
    await look();
    expect(one.taken).toHaveLength(2);
    one.takeMany(2, 'priority');
    await look();
    expect(one.taken).toHaveLength(3);
    one.giveBack();
    await look();
    expect(one.taken).toHaveLength(3);
  });
});
