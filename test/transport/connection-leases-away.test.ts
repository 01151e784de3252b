import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
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

describe('while the store is away', () => {
  const away = () => Promise.reject(new Error('Redis is not connected'));
  const told = ['The connections of main are counted by each process alone for now: Redis is not connected'];

  it.each(['ready', 'get', 'put'])('at %s, each process keeps to the limit by itself, and says so', async (failing) => {
    const store = new MemoryLeaseStore();
    const [a, b] = [process(store.connect()), process(store.connect())];
    store.before = (call) => (call === failing ? away() : Promise.resolve());
    for (const one of [a, b]) {
      await one.take();
      one.takeMany(5);
      await look();
      expect(one.taken).toHaveLength(3);
      expect(one.errors).toEqual(told);
    }
  });

  it('leases are put down again when it is back, but for those that another has', async () => {
    const store = new MemoryLeaseStore();
    const [a, b] = [process(store.connect(), { total: 2 }), process(store.connect(), { total: 2 })];
    a.takeMany(2);
    await look();
    store.before = away;
    await vi.advanceTimersByTimeAsync(31_000);
    expect(store.live).toEqual([]);
    store.before = () => Promise.resolve();
    await b.take();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(store.live).toHaveLength(2);
    // Of three connections at two places one must go before another comes.
    a.giveBack();
    b.takeMany(1);
    await look();
    a.giveBack();
    await look();
    expect(store.live).toHaveLength(a.taken.length + b.taken.length);
  });

  it('though it hangs, a message waits a second for it and the next ones not at all', async () => {
    const store = new MemoryLeaseStore();
    const one = process(store.connect());
    store.before = () => new Promise(() => undefined);
    const first = one.take();
    await vi.advanceTimersByTimeAsync(999);
    expect(one.taken).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    await first;
    const { calls } = store;
    await one.take();
    expect(store.calls).toBe(calls);
    await vi.advanceTimersByTimeAsync(5_000);
    one.takeMany(1);
    await vi.advanceTimersByTimeAsync(0);
    expect(store.calls).toBe(calls + 1);
  });

  it.each(['ready', 'put'])('an answer (to %s) that comes too late leaves no place taken', async (held) => {
    const store = new MemoryLeaseStore();
    const [slow, other] = [process(store.connect()), process(store.connect())];
    let answer!: () => void;
    store.before = (call) => (call === held ? new Promise((resolve) => (answer = resolve)) : Promise.resolve());
    slow.takeMany(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(slow.taken).toHaveLength(1);
    store.before = () => Promise.resolve();
    answer();
    await look();
    slow.giveBack();
    // It is away from the store for a while.
    await vi.advanceTimersByTimeAsync(40_000);
    other.takeMany(3);
    await look();
    expect(other.taken).toHaveLength(3);
  });
});
