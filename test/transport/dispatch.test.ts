import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { LANES } from '../../src/message/message.js';
import type { Balance } from '../../src/transport/balance.js';
import type { Dispatch, NoRoom, Route } from '../../src/transport/dispatch.js';
import { GuardedTransport } from '../../src/transport/guarded.js';
import type { Probe, ServerLoad } from '../../src/transport/probe.js';
import { Routes } from '../../src/transport/route.js';
import type { SendOptions, Transport } from '../../src/transport/transport.js';
import { quietEvents } from './routes.js';
import { failure, mail } from './smtp.js';
import { NOW, trouble } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

const SLOW_DOWN = { phase: 'greeting', replyCode: 421, reply: '421 4.7.0 Slow down' } as const;

const BLOCKED = { phase: 'rcpt', replyCode: 554, reply: '554 Client host blocked', kind: 'down' } as const;

/** What a test's probe says, and how it says so. */
class TestProbe implements Probe {
  load: ServerLoad = { state: 'ready' };
  onChange: () => void = () => undefined;

  get admits(): boolean {
    return this.load.state === 'ready';
  }

  async start(onChange: () => void): Promise<void> {
    this.onChange = onChange;
  }

  stop(): void {}

  say(load: ServerLoad): void {
    this.load = load;
    this.onChange();
  }
}

interface Server {
  guard: GuardedTransport;
  probe: TestProbe;
  /** What sending to it comes to. */
  onSend: () => Promise<void>;
  /** Sends one message, and gives up what comes of it. */
  try: () => Promise<unknown>;
}

interface Given {
  name: string;
  region?: string;
  max?: number;
  weight?: number;
}

function serverOf({ name, region, max = 2, weight }: Given): Server {
  const probe = new TestProbe();
  const inner: Transport = {
    name,
    lanes: LANES,
    maxConnections: max,
    ...(region === undefined ? {} : { region }),
    send: async ({ envelope }) => {
      await server.onSend();
      return { accepted: envelope.to, rejections: [], response: '250 Ok' };
    },
    verify: () => new Promise(() => undefined),
    close: () => Promise.resolve(),
  };
  const guard = new GuardedTransport(inner, quietEvents(), { probe, weight });
  onTestFinished(() => guard.close(0));
  const options: SendOptions = { lane: 'bulk', signal: new AbortController().signal };
  const server: Server = {
    guard,
    probe,
    onSend: () => Promise.resolve(),
    try: () => guard.send(mail(), options).catch((error: unknown) => error),
  };
  return server;
}

async function start(given: readonly Given[], balance?: Balance, region?: string) {
  const servers = given.map(serverOf);
  const guards = servers.map(({ guard }) => guard);
  const routes = new Routes(guards, region, undefined, balance);
  await Promise.all(guards.map((guard) => guard.start()));
  const dispatch = await routes.dispatch('bulk');
  const inFlight = (): number[] => guards.map(({ window }) => window.state.inFlight);
  return { servers, routes, dispatch, inFlight };
}

const wanted = (): boolean => true;

function isRoute(found: Route | NoRoom | undefined): found is Route {
  return found !== undefined && Symbol.iterator in found;
}

/** A message that has a place, until it leaves. */
async function enter(dispatch: Dispatch): Promise<{ name: string; leave: () => void; next: () => string | undefined }> {
  const route = await dispatch.next(wanted);
  if (!isRoute(route)) throw new Error(`There is no route: ${JSON.stringify(route)}`);
  const iterator = route[Symbol.iterator]();
  const next = (): string | undefined => {
    const step = iterator.next();
    return step.done ? undefined : step.value.name;
  };
  return { name: next()!, next, leave: () => void iterator.return?.() };
}

async function names(dispatch: Dispatch, count: number, leaveAtOnce = false): Promise<string> {
  let all = '';
  for (let index = 0; index < count; index++) {
    const { name, leave } = await enter(dispatch);
    all += name;
    if (leaveAtOnce) leave();
  }
  return all;
}

/** What a wait has come to by now. */
function watch(waiting: Promise<Route | NoRoom | undefined>) {
  const seen: { found?: Route | NoRoom | undefined; done: boolean } = { done: false };
  void waiting.then((found) => Object.assign(seen, { found, done: true }));
  return seen;
}

describe('bulk mail is shared', () => {
  it('by use of the windows, the nearest of equals first', async () => {
    const { dispatch } = await start([
      { name: 'a', max: 2 },
      { name: 'b', max: 4 },
    ]);
    expect(await names(dispatch, 6)).toBe('abbabb');
  });

  it('by what the probes say of the servers, where all have said it', async () => {
    const { dispatch, servers } = await start([
      { name: 'a', max: 4 },
      { name: 'b', max: 4 },
    ]);
    servers[0]!.probe.say({ state: 'ready', load: 0.6 });
    expect(await names(dispatch, 2)).toBe('ab');
    servers[1]!.probe.say({ state: 'ready', load: 0 });
    expect(await names(dispatch, 4)).toBe('bbba');
  });

  it('in turn', async () => {
    const { dispatch } = await start([{ name: 'a' }, { name: 'b', max: 1 }, { name: 'c', max: 3 }], 'round-robin');
    expect(await names(dispatch, 6)).toBe('abcacc');
  });

  it('by weight, well mixed, and others take what one has no room for', async () => {
    const servers = [
      { name: 'a', weight: 5, max: 9 },
      { name: 'b', max: 9 },
      { name: 'c', max: 9 },
    ];
    const { dispatch } = await start(servers, 'weighted');
    expect(await names(dispatch, 7, true)).toBe('aabacaa');
    expect((await names(dispatch, 27)).slice(-12)).toMatch(/^[bc]+$/);
  });

  it('first among those of the own region, then among the others', async () => {
    const servers = [
      { name: 'a', region: 'us' },
      { name: 'b', region: 'eu' },
      { name: 'c', region: 'eu' },
      { name: 'd' },
    ];
    const { dispatch } = await start(servers, 'round-robin', 'eu');
    expect(await names(dispatch, 8)).toBe('bcbcadad');
  });

  it('and goes to the server that is quicker', async () => {
    const { dispatch } = await start([
      { name: 'a', max: 5 },
      { name: 'b', max: 5 },
    ]);
    const taken = { a: 0, b: 0 };
    const until = NOW + 10_000;
    const worker = async (): Promise<void> => {
      while (Date.now() < until) {
        const { name, leave } = await enter(dispatch);
        taken[name as 'a' | 'b']++;
        await new Promise((resolve) => setTimeout(resolve, name === 'a' ? 200 : 20));
        leave();
      }
    };
    const all = Promise.all(Array.from({ length: 10 }, worker));
    await vi.advanceTimersByTimeAsync(11_000);
    await all;
    expect(taken.b / taken.a).toBeGreaterThan(9);
    expect(taken.a + taken.b).toBeGreaterThan(2_700);
  });
});

describe('the route of a dispatched message', () => {
  it('goes on to the others that have room, with one place at a time', async () => {
    const { dispatch, inFlight } = await start([{ name: 'a' }, { name: 'b', max: 1 }, { name: 'c' }], 'round-robin');
    const [a, b] = [await enter(dispatch), await enter(dispatch)];
    expect([a.name, b.name, inFlight()]).toEqual(['a', 'b', [1, 1, 0]]);
    expect(a.next()).toBe('c');
    expect(inFlight()).toEqual([0, 1, 1]);
    expect(a.next()).toBeUndefined();
    expect(inFlight()).toEqual([0, 1, 0]);
    expect(a.next()).toBeUndefined();
    b.leave();
    b.leave();
    expect(inFlight()).toEqual([0, 0, 0]);
  });

  it('gives its place back however the iteration ends, and is good for one', async () => {
    const { dispatch, inFlight } = await start([{ name: 'a' }]);
    const route = (await dispatch.next(wanted)) as Route;
    expect(() => {
      for (const transport of route) throw new Error(transport.name);
    }).toThrow('a');
    expect(inFlight()).toEqual([0]);
    expect([...route]).toEqual([]);
    expect(inFlight()).toEqual([0]);
    const left = (await dispatch.next(wanted)) as Route;
    expect(inFlight()).toEqual([1]);
    left.leave();
    left.leave();
    expect([...left]).toEqual([]);
    expect(inFlight()).toEqual([0]);
    // Ended before its first.
    ((await dispatch.next(wanted)) as Route)[Symbol.iterator]().return?.();
    expect(inFlight()).toEqual([0]);
  });
});

describe('messages wait', () => {
  it('in the order in which they came for a place, and no longer than they are wanted', async () => {
    const { dispatch, inFlight } = await start([{ name: 'a', max: 1 }]);
    const first = await enter(dispatch);
    let stillWanted = true;
    const waits = [wanted, () => stillWanted, wanted].map((asked) => watch(dispatch.next(asked)));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(waits.map(({ done }) => done)).toEqual([false, false, false]);
    first.leave();
    await vi.advanceTimersByTimeAsync(0);
    expect(waits.map(({ done }) => done)).toEqual([true, false, false]);
    stillWanted = false;
    await vi.advanceTimersByTimeAsync(100);
    expect(waits[1]).toEqual({ done: true, found: undefined });
    for (const transport of waits[0]!.found as Route) expect(transport.name).toBe('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(waits[2]!.done).toBe(true);
    expect([...(waits[2]!.found as Route)]).toHaveLength(1);
    expect(inFlight()).toEqual([0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('for the pace that a refusal has set, and leave evenly spread', async () => {
    const { dispatch, servers } = await start([{ name: 'a', max: 20 }]);
    const [a] = servers;
    for (let count = 0; count < 10; count++) await a!.try();
    a!.onSend = () => Promise.reject(trouble(SLOW_DOWN));
    await a!.try();
    a!.onSend = () => Promise.resolve();
    expect(a!.guard.standing.window).toMatchObject({ rate: 9, reason: '421 4.7.0 Slow down' });
    await vi.advanceTimersByTimeAsync(1_300);
    await a!.try();
    const times: number[] = [];
    const worker = async (): Promise<void> => {
      const { leave } = await enter(dispatch);
      times.push(performance.now());
      leave();
    };
    const all = Promise.all(Array.from({ length: 10 }, worker));
    await vi.advanceTimersByTimeAsync(2_000);
    await all;
    const gaps = times.slice(1).map((time, index) => time - times[index]!);
    expect(Math.min(...gaps)).toBeGreaterThan(85);
    expect(Math.max(...gaps)).toBeLessThan(120);
  });

  it('for five seconds while nothing will have room soon, and are then told when and why', async () => {
    const { dispatch, servers } = await start([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    const [a, b, c] = servers;
    await b!.try();
    await vi.advanceTimersByTimeAsync(1_000);
    for (let count = 0; count < 5; count++) {
      // The last pause is of 16 to 20 s.
      a!.onSend = () => Promise.reject(trouble(SLOW_DOWN));
      await a!.try();
      await vi.advanceTimersByTimeAsync(count < 4 ? 20_000 : 0);
      a!.guard.window.room();
    }
    c!.onSend = () => Promise.reject(trouble());
    for (let count = 0; count < 3; count++) await c!.try();
    b!.probe.say({ state: 'overloaded', reason: 'load 3.1 per core, above 2' });
    const now = Date.now();
    const waiting = watch(dispatch.next(wanted));
    await vi.advanceTimersByTimeAsync(1_900);
    expect(waiting.done).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    const { until, reason } = waiting.found as NoRoom;
    expect(dispatch.acceptedAt).toBe(NOW);
    expect(until).toBeGreaterThan(now + 2_000);
    expect(until).toBeLessThanOrEqual(now + 2_100 + 5_000);
    expect(reason).toMatch(
      /^a: paused until \d\d:\d\d:\d\d after "421 4.7.0 Slow down"; b: overloaded, load 3.1 per core, above 2; c: down.* after ".*connect ECONNREFUSED"$/,
    );
    expect(vi.getTimerCount()).toBe(1);
  });

  it('and a transport is left alone that answers one message after the other with being down', async () => {
    const { routes, servers } = await start([{ name: 'a' }]);
    const forced = await routes.dispatch('bulk', 'a');
    servers[0]!.onSend = () => Promise.reject(trouble(BLOCKED));
    for (let message = 1; message < 20; message++) await servers[0]!.try();
    const room = await forced.next(wanted);
    expect(isRoute(room)).toBe(true);
    if (isRoute(room)) room.leave();
    await servers[0]!.try();
    expect(await forced.next(wanted)).toMatchObject({ reason: expect.stringMatching(/^a: paused until/) as string });
  });

  it('until a probe lets them in', async () => {
    const { dispatch, servers } = await start([{ name: 'a' }]);
    servers[0]!.probe.say({ state: 'overloaded' });
    const waiting = watch(dispatch.next(wanted));
    await vi.advanceTimersByTimeAsync(1_500);
    expect(waiting.done).toBe(false);
    servers[0]!.probe.say({ state: 'ready' });
    await Promise.resolve();
    await Promise.resolve();
    expect(isRoute(waiting.found)).toBe(true);
  });

  it('and a forced transport that has no room soon is told at once', async () => {
    const { routes, servers, inFlight } = await start([{ name: 'a' }, { name: 'b' }]);
    const forced = await routes.dispatch('bulk', 'a');
    servers[0]!.onSend = () => Promise.reject(trouble(SLOW_DOWN));
    await servers[0]!.try();
    expect(await forced.next(wanted)).toEqual({
      until: expect.any(Number) as number,
      reason: expect.stringMatching(/^a: paused until/) as string,
    });
    expect(inFlight()).toEqual([0, 0]);
    await expect(routes.dispatch('bulk', 'nobody')).rejects.toThrow('"nobody" is not configured');
  });

  it('of several batches in turn', async () => {
    const { routes } = await start([{ name: 'a', max: 1 }]);
    const lines = [await routes.dispatch('bulk', 'a'), await routes.dispatch('bulk', 'a')];
    const order: number[] = [];
    const worker = async (line: number): Promise<void> => {
      const { leave } = await enter(lines[line]!);
      order.push(line);
      await new Promise((resolve) => setTimeout(resolve, 10));
      leave();
    };
    const all = Promise.all([0, 0, 0, 1, 1, 1].map(worker));
    await vi.advanceTimersByTimeAsync(100);
    await all;
    expect(order).toEqual([0, 0, 1, 0, 1, 1]);
  });

  it('and one whose wish fails is told so', async () => {
    const { dispatch, inFlight } = await start([{ name: 'a', max: 1 }]);
    const first = await enter(dispatch);
    const waiting = failure(
      dispatch.next(() => {
        throw trouble({ reply: 'Who knows' });
      }),
    );
    await vi.advanceTimersByTimeAsync(100);
    expect((await waiting).reply).toBe('Who knows');
    first.leave();
    expect(inFlight()).toEqual([0]);
  });
});

describe('whatever happens', () => {
  it('every place is given back, and nobody waits for what is there', async () => {
    const step = fc.record({
      kind: fc.constantFrom(
        'enter',
        'enter',
        'next',
        'leave',
        'throw',
        'pass',
        'refuse',
        'accept',
        'probe',
        'unwanted',
      ),
      which: fc.nat(20),
    });
    const steps = fc.array(step, { minLength: 10, maxLength: 80 });
    const balances = fc.constantFrom<Balance>('least-loaded', 'round-robin', 'weighted');
    await fc.assert(
      fc.asyncProperty(balances, steps, async (balance, script) => {
        const { servers, dispatch, routes, inFlight } = await start(
          [
            { name: 'a', max: 1 },
            { name: 'b', max: 3, weight: 2 },
          ],
          balance,
        );
        const forced = await routes.dispatch('bulk', 'b');
        const routesHeld: Iterator<unknown>[] = [];
        const wishes: { wanted: boolean }[] = [];
        const waiting: Promise<unknown>[] = [];
        const pick = <T>(list: readonly T[], which: number): T | undefined => list[which % Math.max(1, list.length)];
        for (const { kind, which } of script) {
          const server = pick(servers, which)!;
          const held = pick(routesHeld, which);
          if (kind === 'enter') {
            const wish = { wanted: true };
            wishes.push(wish);
            const found = (which % 4 === 0 ? forced : dispatch).next(() => wish.wanted);
            waiting.push(found.then((route) => isRoute(route) && routesHeld.push(route[Symbol.iterator]())));
          } else if (kind === 'next') held?.next();
          else if (kind === 'leave') held?.return?.();
          else if (kind === 'throw') {
            const route = await Promise.race([dispatch.next(() => false), Promise.resolve(undefined)]);
            if (isRoute(route)) expect(() => [...route].map(() => fail())).toThrow();
          } else if (kind === 'pass') await vi.advanceTimersByTimeAsync(which * 100);
          else if (kind === 'probe') server.probe.say({ state: which % 3 === 0 ? 'overloaded' : 'ready' });
          else if (kind === 'unwanted') Object.assign(pick(wishes, which) ?? {}, { wanted: false });
          else {
            server.onSend = () => (kind === 'refuse' ? Promise.reject(trouble(SLOW_DOWN)) : Promise.resolve());
            await server.try();
          }
          await vi.advanceTimersByTimeAsync(0);
          for (const { guard } of servers) {
            const { inFlight: taken, max } = guard.window.state;
            expect(taken).toBeGreaterThanOrEqual(0);
            expect(taken).toBeLessThanOrEqual(max);
          }
        }
        for (const { probe } of servers) probe.say({ state: 'ready' });
        // Those who come to their turn leave at once.
        for (let round = 0; round < 200 && waiting.length > 0; round++) {
          for (const route of routesHeld.splice(0)) route.return?.();
          await vi.advanceTimersByTimeAsync(1_000);
        }
        await Promise.all(waiting);
        for (const route of routesHeld) route.return?.();
        expect(inFlight()).toEqual([0, 0]);
        expect(vi.getTimerCount()).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

function fail(): never {
  throw new Error('It broke');
}
