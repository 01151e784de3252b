import { describe, expect, it } from 'vitest';
import { CongestionWindow, type Refusal } from '../../src/transport/window.js';
import { bucketLimit, concurrencyLimit, simulate, slidingLimit, windowLimit, type Throttle } from './throttled.js';

const BUSY: Refusal = { reply: '421 4.7.0 Slow down', replyCode: 421 };

/** A window whose clock stands still unless it is moved, and whose pauses are not spread. */
function windowOf(max: number) {
  let now = 10_000;
  const window = new CongestionWindow(
    max,
    () => now,
    () => 0,
  );
  /** As many messages as it has room for, all of them begun before the first has its answer. */
  const fill = (): number[] => {
    const bursts: number[] = [];
    while (window.room().state === 'free' && bursts.length < 1_000) {
      window.enter();
      bursts.push(window.burst);
    }
    return bursts;
  };
  const end = (bursts: readonly number[], answer: (burst: number) => void): void => {
    for (const burst of bursts) {
      answer(burst);
      window.leave();
    }
  };
  const accept = (bursts: readonly number[]): void => end(bursts, (burst) => window.accepted(burst));
  const refuse = (bursts: readonly number[], why = BUSY): void => end(bursts, (burst) => window.refused(burst, why));
  const pass = (milliseconds: number): void => void (now += milliseconds);
  return { window, fill, accept, refuse, pass };
}

describe('a congestion window', () => {
  it('begins at its maximum', () => {
    const { window, fill, accept } = windowOf(15);
    const first = fill();
    expect(first).toHaveLength(15);
    expect(window.room()).toEqual({ state: 'full', within: Infinity });
    accept(first);
    expect(window.state).toEqual({ size: 15, max: 15, inFlight: 0 });
  });

  it('is halved once by the refusals of messages that were under way together', () => {
    const { window, fill, accept, refuse, pass } = windowOf(16);
    refuse(fill());
    expect(window.state).toMatchObject({ inFlight: 0, reason: BUSY.reply });
    pass(1_000);
    accept(fill());
    expect(window.state.size).toBe(8);
  });

  it('grows by one when as many have been accepted as it is large, up to its maximum', () => {
    const { window, fill, accept, refuse, pass } = windowOf(4);
    refuse(fill());
    pass(1_000);
    accept(fill());
    expect(window.state.size).toBe(2);
    for (const size of [2, 3, 3, 3, 4, 4]) {
      window.enter();
      accept([window.burst]);
      expect(window.state.size).toBe(size);
    }
    expect(window.state).toEqual({ size: 4, max: 4, inFlight: 0 });
  });

  it('pauses after 421, and goes on with a single message', () => {
    const { window, fill, accept, refuse, pass } = windowOf(15);
    refuse(fill());
    expect(window.room()).toEqual({ state: 'paused', within: 1_000 });
    expect(window.state.pausedUntil).toBeInstanceOf(Date);
    pass(999);
    expect(window.room()).toEqual({ state: 'paused', within: 1 });
    pass(1);
    const probe = fill();
    expect(probe).toHaveLength(1);
    expect(window.state).toMatchObject({ size: 1, inFlight: 1 });
    expect(window.state).not.toHaveProperty('pausedUntil');
    accept(probe);
    expect(fill().length).toBeGreaterThan(1);
  });

  it('doubles its pauses up to 15 minutes while nothing is accepted, and begins anew afterwards', () => {
    const { window, fill, accept, refuse, pass } = windowOf(5);
    const pause = (): number => {
      refuse(fill());
      const { within } = window.room() as { within: number };
      pass(within);
      return within;
    };
    const pauses = Array.from({ length: 12 }, pause).map((milliseconds) => milliseconds / 1_000);
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    accept(fill());
    expect(pause()).toBe(1_000);
  });

  it('goes on, too, when the message that was to tell was refused for reasons of its own', () => {
    const { window, fill, refuse, pass } = windowOf(5);
    refuse(fill());
    pass(1_000);
    const [probe] = fill();
    window.answered(probe!);
    window.leave();
    expect(window.state.size).toBe(2);
  });

  it('is not resumed by the late acceptance of a message from before the pause', () => {
    const { window, fill, accept, refuse } = windowOf(5);
    const [first, ...rest] = fill();
    refuse([first!]);
    accept(rest);
    expect(window.room().state).toBe('paused');
  });

  it('spreads its pauses', () => {
    const window = new CongestionWindow(
      5,
      () => 0,
      () => 0.8,
    );
    window.refused(window.burst, BUSY);
    expect(window.room()).toEqual({ state: 'paused', within: 1_200 });
  });

  it.each([
    ['451 4.3.2 Try again', 451],
    ['452 4.3.1 Insufficient system storage', 452],
  ])('puts up with a few refusals that do not ask to be left alone: %s', (reply, replyCode) => {
    const { window, fill, accept, refuse } = windowOf(10);
    const one = (): number[] => fill().slice(0, 1);
    for (let count = 0; count < 300; count++) {
      const bursts = fill();
      if (count % 30 === 0) refuse(bursts.splice(0, 1), { reply, replyCode });
      accept(bursts);
    }
    expect(window.state).toEqual({ size: 10, max: 10, inFlight: 0 });
    refuse(fill(), { reply, replyCode });
    expect(window.state).toMatchObject({ size: 1, reason: reply });
    expect(window.state).not.toHaveProperty('pausedUntil');
    refuse(one(), { reply, replyCode });
    expect(window.state.pausedUntil).toBeInstanceOf(Date);
  });

  it('forgets its pace when nothing has waited for it for five minutes', () => {
    const { window, fill, accept, refuse, pass } = windowOf(2);
    const one = fill();
    accept(one);
    refuse(fill());
    expect(window.state.rate).toBe(1.8);
    pass(4 * 60_000);
    for (let count = 0; count < 4; count++) {
      expect(window.state).toHaveProperty('rate');
      pass(20_000);
      expect(window.room()).toEqual({ state: 'free' });
      window.enter();
      accept([window.burst]);
    }
    expect(window.state).toEqual({ size: 2, max: 2, inFlight: 0 });
  });
});

const LIMITS: [string, (messages: number) => Throttle][] = [
  ['in any second', slidingLimit],
  ['in each second', windowLimit],
  ['from a bucket', bucketLimit],
];
const servers = LIMITS.flatMap(([kind, limit]) =>
  [14, 50, 200, 1_000].flatMap((rate) => [1, 20].map((latency) => ({ kind, limit, rate, latency }))),
);

describe('a server that throttles is used at the rate that it accepts', () => {
  // Twenty connections, so that not they are the limit; few simulated seconds where they are dear.
  it.each(servers)('$rate messages $kind, $latency ms away', ({ limit, rate, latency }) => {
    const { perSecond, refused } = simulate({
      server: limit(rate),
      latency,
      max: 60,
      seconds: rate === 1_000 ? 60 : 240,
    });
    expect(perSecond / rate).toBeGreaterThan(0.85);
    expect(perSecond / rate).toBeLessThan(1.15);
    expect(refused).toBeLessThan(5);
  });

  it.each(servers.filter(({ rate, latency }) => rate < 1_000 && latency === 20))(
    '$rate messages $kind, by three processes',
    ({ limit, rate, latency }) => {
      const { perSecond, refused, shares } = simulate({ server: limit(rate), latency, windows: 3, seconds: 240 });
      expect(perSecond / rate).toBeGreaterThan(0.85);
      expect(perSecond / rate).toBeLessThan(1.15);
      expect(refused).toBeLessThan(5);
      expect(Math.min(...shares) / Math.max(...shares)).toBeGreaterThan(0.2);
    },
  );

  it.each([
    [100, 60_000],
    [500, 60_000],
    [100, 10_000],
  ])('%i messages in any %i ms', (messages, per) => {
    const { perSecond, refused } = simulate({ server: slidingLimit(messages, per), latency: 5, seconds: 1_800 });
    expect((perSecond * per) / 1_000 / messages).toBeGreaterThan(0.85);
    expect(refused).toBeLessThan(5);
  });

  it.each([1, 4, 40])('though one of its refusals came by chance, as the answer to message %i', (number) => {
    let asked = 0;
    const server: Throttle = { ask: () => (++asked === number ? '421 4.3.2 Shutting down' : undefined) };
    const { windows, perSecond } = simulate({ server, latency: 5, max: 4, seconds: 30 });
    expect(windows[0]!.state.rate ?? Infinity).toBeGreaterThan(500);
    expect(perSecond).toBeGreaterThan(300);
  });

  it('and refuses no second burst where the first one shows its limit', () => {
    const { refusals, perSecond } = simulate({ server: slidingLimit(200), latency: 5, seconds: 12 });
    expect(refusals).toBeLessThanOrEqual(15);
    expect(perSecond).toBeGreaterThan(150);
  });

  it('and is not held up by the few in a thousand that it puts off by chance', () => {
    let asked = 0;
    // Every two hundredth, and each time a second one close to it.
    const isPutOff = (): boolean => asked++ % 400 < 20 && asked % 10 === 0;
    const server: Throttle = { ask: () => (isPutOff() ? '451 4.3.0 Local error' : undefined) };
    const { windows, refusals } = simulate({ server, latency: 5, seconds: 60 });
    expect(refusals).toBeGreaterThan(500);
    expect(windows[0]!.state).toEqual({ size: 15, max: 15, inFlight: expect.any(Number) as number });
  });

  it('and is not held up where there is less to send', () => {
    const { perSecond, refusals, windows } = simulate({
      server: slidingLimit(50),
      latency: 5,
      seconds: 60,
      offered: 20,
    });
    expect(Math.round(perSecond)).toBe(20);
    expect(refusals).toBe(0);
    expect(windows[0]!.state).not.toHaveProperty('rate');
  });

  it('that is raised is found out within some minutes', () => {
    const [before, after] = [slidingLimit(20), slidingLimit(200)];
    const server: Throttle = { ask: (now) => (now < 60_000 ? before : after).ask(now) };
    const { windows } = simulate({ server, latency: 5, seconds: 300 });
    expect(windows[0]!.state.rate).toBeGreaterThan(150);
  });
});

describe('a server that counts connections', () => {
  it.each([1, 20, 500])('gets as many messages at once as it takes, %i ms away', (latency) => {
    const { perSecond, refused } = simulate({ server: concurrencyLimit(3), latency, seconds: 240 });
    expect(perSecond).toBeGreaterThan((0.85 * 3_000) / latency);
    expect(refused).toBeLessThan(5);
  });

  it('shares them among three processes', () => {
    const { perSecond, refused, shares } = simulate({
      server: concurrencyLimit(6),
      latency: 20,
      windows: 3,
      seconds: 240,
    });
    expect(perSecond).toBeGreaterThan((0.7 * 6_000) / 20);
    expect(refused).toBeLessThan(5);
    expect(Math.min(...shares)).toBeGreaterThan(0);
  });
});
