import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProviderLimit } from '../../src/transport/provider-limit.js';
import { RateLimit, type RateLimitSettings } from '../../src/transport/rate-limit.js';
import { later, limited, mostIn } from './limited.js';
import { failure } from './smtp.js';
import { NOW } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Numbers from 0 to 1, the same in each run. */
function* random(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

describe('the limit', () => {
  it.each([
    [{ messages: 14, per: 1_000, reserve: 0 }, 40],
    [{ messages: 14, per: 1_000, reserve: 5 }, 60],
    [{ messages: 1, per: 1_000, reserve: 0 }, 900],
    [{ messages: 7, per: 3_000, reserve: 6 }, 300],
    [{ messages: 100, per: 60_000, reserve: 20 }, 500],
  ])('%j is kept in every span, whatever comes when', async (settings, pause) => {
    const { takeMany, times, refused, asked } = limited(settings);
    const numbers = random(settings.messages);
    const next = () => numbers.next().value;
    for (let count = 0; count < 300; count++) {
      takeMany(next() < 0.05 ? settings.messages : 1, next() < 0.5 ? 'priority' : 'bulk');
      if (next() < 0.7) await later(Math.floor(next() * pause));
      if (next() < 0.02) await later(settings.per * 2);
    }
    await later(3_600_000);
    expect(times().length + refused.length).toBe(asked());
    expect(times().length).toBeGreaterThan(50);
    expect(mostIn(settings.per, times())).toBeLessThanOrEqual(settings.messages);
    expect(mostIn(settings.per, times('bulk'))).toBeLessThanOrEqual(settings.messages - settings.reserve);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is used up, with two in a hundred to spare', async () => {
    const { takeMany, times } = limited({ messages: 20 });
    takeMany(60, 'priority');
    await later(10_000);
    expect(times()).toEqual([
      ...Array<number>(20).fill(0),
      ...Array<number>(20).fill(1_020),
      ...Array<number>(20).fill(2_040),
    ]);
  });

  it('spreads bulk mail evenly, less its reserve', async () => {
    const { takeMany, times } = limited({ messages: 10, reserve: 2 });
    // What was not used before is not made up for.
    await later(60_000);
    takeMany(30, 'bulk');
    await later(5_000);
    const [first = 0, ...others] = times();
    others.forEach((at, index) => expect(at - (others[index - 1] ?? first)).toBeGreaterThanOrEqual(124));
    expect(first).toBe(60_000);
    expect(others).toHaveLength(29);
    expect(others.at(-1)).toBeLessThan(first + (30 * 1_000 * 1.02) / 8 + 50);
  });
});

describe('a priority mail', () => {
  it('goes before bulk mail, however long that has waited', async () => {
    const { takeMany, times, went } = limited({ messages: 4 });
    takeMany(20, 'bulk');
    await later(1_100);
    const before = went.length;
    takeMany(3, 'priority');
    await later(10_000);
    expect(went.slice(before, before + 3).map(({ lane }) => lane)).toEqual(['priority', 'priority', 'priority']);
    expect(times('bulk')).toHaveLength(20);
  });

  it('finds its reserve at any time', async () => {
    const { takeMany, times } = limited({ messages: 10, reserve: 4 });
    takeMany(80, 'bulk');
    for (let second = 1; second <= 6; second++) {
      await later(2_345);
      const already = times('priority').length;
      takeMany(4, 'priority');
      await later(0);
      expect(times('priority')).toHaveLength(already + 4);
    }
  });

  it('whose time does not suffice is refused at once, and told when to come again', async () => {
    const { take, takeMany, times, refused } = limited({ messages: 2, per: 10_000 });
    takeMany(2, 'priority');
    await later(3_000);
    const error = await failure(take('priority', { handoverWithin: 7_000 }));
    expect(error).toMatchObject({
      phase: 'queue',
      outcome: 'not-sent',
      permanent: false,
      scope: 'transport',
      reply: 'Its rateLimit { messages: 2, per: 10000 } is used up',
      retryAt: NOW + 10_200,
    });
    takeMany(1, 'priority', { handoverWithin: 7_300 });
    await later(7_200);
    expect([times(), refused]).toEqual([[0, 0, 10_200], []]);
  });

  it('whose time does not suffice for those before it is refused at once as well', async () => {
    const { takeMany, times, refused } = limited({ messages: 2, per: 10_000 });
    takeMany(2, 'priority');
    takeMany(5, 'priority', { handoverWithin: 15_000 });
    await later(0);
    expect(refused.map(({ retryAt }) => retryAt)).toEqual([NOW + 20_400, NOW + 20_400, NOW + 20_400]);
    await later(60_000);
    expect(times()).toEqual([0, 0, 10_200, 10_200]);
  });

  it('is refused at once also when bulk mail is being waited for', async () => {
    const { takeMany, refused } = limited({ messages: 1, per: 9_000 });
    takeMany(2, 'bulk');
    await later(500);
    takeMany(1, 'priority', { handoverWithin: 1_000 });
    await later(0);
    expect(refused).toHaveLength(1);
  });
});

describe('bulk mail', () => {
  it('is handed back where it would have to wait for more than ten seconds', async () => {
    const { takeMany, times, refused } = limited({ messages: 1, per: 60_000 });
    takeMany(3, 'bulk');
    await later(0);
    expect(refused.map(({ retryAt }) => retryAt)).toEqual([NOW + 61_200, NOW + 61_200]);
    expect(times()).toEqual([0]);
  });

  it('is handed back after ten seconds for which priority mail went before it', async () => {
    const { takeMany, times, refused } = limited({ messages: 5 });
    takeMany(2, 'bulk');
    for (let second = 0; second < 12; second++) {
      takeMany(10, 'priority', { handoverWithin: 60_000 });
      await later(1_000);
    }
    expect(times('bulk').length + refused.length).toBe(2);
    expect(refused.length).toBeGreaterThan(0);
  });
});

describe('a message whose signal aborts', () => {
  it('leaves the line, and nobody else does', async () => {
    const { take, takeMany, times } = limited({ messages: 1 });
    takeMany(2, 'priority');
    const gone = new AbortController();
    const leaving = failure(take('priority', { signal: gone.signal }));
    takeMany(1, 'priority');
    await later(500);
    gone.abort(new Error('No answer within priority.timeout'));
    expect(await leaving).toMatchObject({
      phase: 'queue',
      outcome: 'not-sent',
      reply: 'No answer within priority.timeout',
    });
    await later(5_000);
    expect(times()).toEqual([0, 1_020, 2_040]);
  });

  it('before its turn is not even put into line', async () => {
    const { take, takeMany, times } = limited({ messages: 1 });
    await failure(take('bulk', { signal: AbortSignal.abort(new Error('Late')) }));
    takeMany(1, 'bulk');
    await later(0);
    expect(times()).toEqual([0]);
  });

  it('leaves no listener behind when it has gone', async () => {
    const { take } = limited({});
    const { signal } = new AbortController();
    const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
    for (let count = 0; count < 5; count++) await take('priority', { signal });
    expect(removed).toHaveBeenCalledTimes(added.mock.calls.length);
  });
});

describe('the rate of a provider', () => {
  const signal = new AbortController().signal;
  const follow = (perSecond: number, reserves = true) => {
    const opened: RateLimitSettings[] = [];
    const limit = new ProviderLimit((settings) => {
      opened.push(settings);
      return new RateLimit('main', settings);
    }, reserves);
    limit.follow(perSecond);
    return { limit, opened };
  };

  it.each([
    [1, true, { messages: 1, per: 1_000, reserve: 0 }],
    [0.5, true, { messages: 1, per: 2_000, reserve: 0 }],
    [2, true, { messages: 2, per: 1_000, reserve: 1 }],
    [14, true, { messages: 14, per: 1_000, reserve: 2 }],
    [14, false, { messages: 14, per: 1_000, reserve: 0 }],
  ])('of %d a second leaves some to the priority lane, if that may use it: %s', (rate, reserves, settings) => {
    const { limit, opened } = follow(rate, reserves);
    expect(opened).toEqual([settings]);
    // What was used of it is not forgotten when the provider says the same again.
    limit.follow(rate);
    expect(opened).toEqual([settings]);
  });

  it('counts recipients, and lets a message of more pass', async () => {
    const { limit } = follow(10, false);
    const went: number[] = [];
    for (const recipients of [4, 4, 4, 120]) {
      void limit.take({ lane: 'priority', signal }, recipients).then(() => went.push(recipients));
    }
    await later(1_000);
    expect(went).toEqual([4, 4]);
    await later(10_000);
    expect(went).toEqual([4, 4, 4, 120]);
    const late = failure(
      Promise.all(
        [5, 6].map((recipients) => limit.take({ lane: 'priority', signal, handoverWithin: 500 }, recipients)),
      ),
    );
    await later(1);
    expect(await late).toMatchObject({ phase: 'queue', outcome: 'not-sent' });
  });
});
