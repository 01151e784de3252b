import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Counter } from '../../src/store/counter.js';
import { later, limited, mostIn } from './limited.js';
import { failure, Gate } from './smtp.js';
import { NOW } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A counter that many share, exact over any span; it may be told to answer otherwise. */
class SharedCounter implements Counter {
  taken = 0;
  asked = 0;
  answer: (() => Promise<number>) | undefined;
  private times: number[] = [];

  constructor(
    private readonly points: number,
    private readonly per: number,
  ) {}

  async take(): Promise<number> {
    this.asked++;
    if (this.answer) return this.answer();
    const now = performance.now();
    this.times = this.times.filter((at) => at > now - this.per);
    if (this.times.length >= this.points) return this.times[0]! + this.per - now;
    this.times.push(now);
    this.taken++;
    return 0;
  }
}

const counters = (messages: number, reserve: number, per = 1_000) => ({
  all: new SharedCounter(messages, per),
  bulk: new SharedCounter(messages - reserve, per),
});

describe('processes that share a counter', () => {
  it('keep to the limit together, in every span, and use it up', async () => {
    const shared = counters(10, 3);
    const processes = [1, 2, 3].map(() => limited({ reserve: 3 }, shared));
    for (let round = 0; round < 20; round++) {
      for (const { takeMany } of processes) takeMany(1, 'bulk');
      if (round % 3 === 0) processes[round % 2]!.takeMany(2, 'priority', { handoverWithin: 60_000 });
      await later(170);
    }
    await later(60_000);
    const times = processes.flatMap((one) => one.times());
    const bulk = processes.flatMap((one) => one.times('bulk'));
    expect(times.length).toBe(processes.reduce((sum, one) => sum + one.asked() - one.refused.length, 0));
    expect(mostIn(1_000, times)).toBe(10);
    // Each process may hold one that was counted for bulk mail and waits for room among all.
    expect(mostIn(1_000, bulk)).toBeLessThanOrEqual(7 + processes.length);
    expect(processes.flatMap(({ errors }) => errors)).toEqual([]);
    expect([shared.all.taken, shared.bulk.taken]).toEqual([times.length, bulk.length]);
  });

  it('count a bulk mail once, however often there is no room for it', async () => {
    const shared = counters(10, 3);
    shared.all.answer = async () => 400;
    const one = limited({ reserve: 3 }, shared);
    one.takeMany(1, 'bulk');
    await later(3_000);
    expect(one.times()).toEqual([]);
    shared.all.answer = undefined;
    await later(1_000);
    expect(one.times()).toHaveLength(1);
    expect([shared.bulk.asked, shared.all.taken]).toEqual([1, 1]);
  });

  it('wait as long as it says, or refuse at once who cannot', async () => {
    const shared = counters(10, 0);
    let wait = 700;
    shared.all.answer = async () => wait;
    const { take, takeMany, times } = limited({}, { all: shared.all });
    takeMany(1, 'priority', { handoverWithin: 5_000 });
    await later(0);
    expect(await failure(take('priority', { handoverWithin: 600 }))).toMatchObject({
      outcome: 'not-sent',
      retryAt: NOW + 700,
    });
    await later(699);
    expect(times()).toEqual([]);
    wait = 0;
    await later(1);
    expect(times()).toEqual([700]);
  });

  it('do not ask while the own limit leaves no room', async () => {
    const shared = counters(100, 0);
    const { takeMany, times } = limited({ messages: 3 }, { all: shared.all });
    takeMany(6, 'priority');
    await later(1_000);
    expect([times().length, shared.all.asked]).toEqual([3, 3]);
  });
});

describe('a counter that cannot be asked', () => {
  const away = () => Promise.reject(new Error('Redis is not connected'));

  it('is told of, and each process keeps to the limit by itself', async () => {
    const shared = counters(10, 3);
    shared.all.answer = shared.bulk.answer = away;
    const { takeMany, times, errors } = limited({ reserve: 3 }, shared);
    takeMany(40, 'bulk');
    takeMany(20, 'priority', { handoverWithin: 60_000 });
    await later(12_000);
    expect(times()).toHaveLength(60);
    expect(mostIn(1_000, times())).toBe(10);
    expect(mostIn(1_000, times('bulk'))).toBeLessThanOrEqual(7);
    expect(errors[0]!.message).toBe('Redis is not connected');
    // It is left alone for five seconds after each failure.
    expect(errors.length).toBeLessThanOrEqual(3);
  });

  it('is asked again when it is back', async () => {
    const shared = counters(10, 0);
    shared.all.answer = away;
    const { take } = limited({}, { all: shared.all });
    await take('priority');
    shared.all.answer = undefined;
    await later(4_900);
    await take('priority');
    expect(shared.all.asked).toBe(1);
    await later(100);
    await take('priority');
    expect(shared.all.taken).toBe(1);
  });

  it('holds up a message for half a second when it hangs, and those behind it not at all', async () => {
    const shared = counters(10, 0);
    shared.all.answer = () => new Promise(() => undefined);
    const { takeMany, times, errors } = limited({}, { all: shared.all });
    takeMany(3, 'priority', { handoverWithin: 5_000 });
    await later(499);
    expect(times()).toEqual([]);
    await later(1);
    expect(times()).toEqual([500, 500, 500]);
    expect(errors.map(({ message }) => message)).toEqual(['no answer within 500 ms']);
  });
});

describe('a message that leaves while the counter is asked', () => {
  it('leaves its turn to no bulk mail, which has its own', async () => {
    const shared = counters(10, 5);
    const gate = new Gate();
    const { take, takeMany, times } = limited({ reserve: 5 }, shared);
    shared.all.answer = async () => (await gate.pass(), 0);
    const gone = new AbortController();
    const leaving = failure(take('priority', { signal: gone.signal }));
    takeMany(8, 'bulk');
    await later(100);
    gone.abort(new Error('Time is up'));
    await leaving;
    shared.all.answer = undefined;
    gate.open();
    await later(1_000);
    expect(times('bulk')).toHaveLength(5);
  });

  it('leaves its turn to the next of its lane', async () => {
    const shared = counters(10, 0);
    const gate = new Gate();
    const { take, takeMany, times } = limited({}, { all: shared.all });
    shared.all.answer = async () => (await gate.pass(), 0);
    const gone = new AbortController();
    const leaving = failure(take('priority', { signal: gone.signal }));
    takeMany(1, 'priority');
    await later(100);
    gone.abort(new Error('Time is up'));
    await leaving;
    gate.open();
    await later(0);
    expect(times()).toEqual([100]);
    expect(shared.all.asked).toBe(1);
  });
});
