import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { LANES } from '../../src/message/message.js';
import { GuardedTransport } from '../../src/transport/guarded.js';
import type { Probe, ServerLoad } from '../../src/transport/probe.js';
import { rank } from '../../src/transport/ranking.js';
import { Routes } from '../../src/transport/route.js';
import { SmtpTransport } from '../../src/transport/smtp/transport.js';
import type { Transport, TransportMonitor } from '../../src/transport/transport.js';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { guarded, quietEvents } from './routes.js';
import { failure, mail, smtpOptions } from './smtp.js';
import { trouble } from './stub.js';

afterEach(() => {
  vi.useRealTimers();
});

interface Place {
  guard: GuardedTransport;
  /** Tells its guard of a round trip. */
  measure: (milliseconds: number) => void;
  /** Lets its circuit open. */
  breakDown: () => Promise<void>;
}

/** What a probe has found out, once and for all. */
function probeThatSays(load: ServerLoad): Probe {
  return { load, admits: load.state === 'ready', start: () => Promise.resolve(), stop: () => undefined };
}

async function place(name: string, region?: string, ...roundTrips: number[]): Promise<Place> {
  return placeOf(name, region, roundTrips);
}

async function placeOf(
  name: string,
  region: string | undefined,
  roundTrips: number[],
  load?: ServerLoad,
): Promise<Place> {
  let monitor: TransportMonitor | undefined;
  const transport: Transport = {
    name,
    lanes: LANES,
    maxConnections: 5,
    ...(region === undefined ? {} : { region }),
    start: async (given) => void (monitor = given),
    send: () => Promise.reject(trouble()),
    verify: () => new Promise(() => undefined),
    close: () => Promise.resolve(),
  };
  const guard = new GuardedTransport(transport, quietEvents(), load ? { probe: probeThatSays(load) } : {});
  onTestFinished(() => guard.close(0));
  await guard.start();
  const measure = (milliseconds: number): void => monitor!.roundTrip(milliseconds);
  roundTrips.forEach(measure);
  const breakDown = async (): Promise<void> => {
    const options = { lane: 'priority', signal: new AbortController().signal } as const;
    for (let count = 0; count < 3; count++) await failure(guard.send(mail(), options));
  };
  return { guard, measure, breakDown };
}

/** Name and reason of each, in order. */
function order(places: Place[], region?: string): [string, string][] {
  const ranked = rank(
    places.map(({ guard }) => guard),
    region,
  );
  return ranked.map(({ transport, reason }) => [transport.name, reason]);
}

const names = (places: Place[], region?: string) => order(places, region).map(([name]) => name);

describe('the order of transports', () => {
  it('has those of this region first, then the quickest, then those not measured, as configured', async () => {
    const places = await Promise.all([
      place('unmeasured'),
      place('quick', 'us', 5),
      place('near unmeasured', 'eu'),
      place('also unmeasured', 'us'),
      place('slow', undefined, 80),
      place('near slow', 'eu', 300.04),
      place('near quick', 'eu', 100),
    ]);
    expect(order(places, 'eu')).toEqual([
      ['near quick', 'same region (eu), 100.0 ms'],
      ['near slow', 'same region (eu), 300.0 ms'],
      ['near unmeasured', 'same region (eu), not measured yet'],
      ['quick', 'in us, 5.0 ms'],
      ['slow', 'no region, 80.0 ms'],
      ['unmeasured', 'no region, not measured yet'],
      ['also unmeasured', 'in us, not measured yet'],
    ]);
  });

  it('knows no region where this process has none', async () => {
    const places = await Promise.all([
      place('slow', 'eu', 90),
      place('quick', 'us', 10),
      place('open', undefined, 1),
      place('slowest', undefined, 200),
    ]);
    await places[2].breakDown();
    expect(order(places)).toEqual([
      ['quick', '10.0 ms'],
      ['slow', '90.0 ms'],
      ['slowest', '200.0 ms'],
      ['open', 'down (circuit open), 1.0 ms'],
    ]);
  });

  it.each([
    ['by less than a fifth and a millisecond', [12.9, 10], ['a', 'b']],
    ['by more', [13.1, 10], ['b', 'a']],
    ['by less than a millisecond', [1.1, 0.1], ['a', 'b']],
    ['by less than a fifth, each from the next', [144, 120, 100], ['b', 'c', 'a']],
    ['by less than a fifth from the quickest', [50, 120, 110, 100], ['a', 'b', 'c', 'd']],
  ])('is as configured where round trips differ %s', async (_, roundTrips, expected) => {
    const places = roundTrips.map((roundTrip, index) => place('abcd'[index]!, undefined, roundTrip));
    expect(names(await Promise.all(places))).toEqual(expected);
  });

  it('has those behind all others whose circuit is not closed, in the same order among themselves', async () => {
    const places = await Promise.all([
      place('down far', 'us', 1),
      place('far', 'us', 500),
      place('down near', 'eu', 20),
      place('unmeasured'),
      place('probed near', 'eu', 10),
    ]);
    for (const index of [0, 2, 4]) await places[index]!.breakDown();
    // The probe hangs.
    vi.spyOn(places[4].guard['inner'], 'send').mockReturnValue(new Promise(() => undefined));
    void places[4].guard.send(mail(), { lane: 'priority', signal: new AbortController().signal });
    expect(order(places, 'eu')).toEqual([
      ['far', 'in us, 500.0 ms'],
      ['unmeasured', 'no region, not measured yet'],
      ['probed near', 'down (circuit half-open), same region (eu), 10.0 ms'],
      ['down near', 'down (circuit open), same region (eu), 20.0 ms'],
      ['down far', 'down (circuit open), in us, 1.0 ms'],
    ]);
  });

  it('has servers that let no bulk mail in behind those that do, and before those that are down', async () => {
    const places = await Promise.all([
      place('down', 'eu', 1),
      placeOf('overloaded', 'eu', [1], { state: 'overloaded', reason: 'load 3.1 per core, above 2' }),
      placeOf('unreachable', 'us', [1], { state: 'unreachable' }),
      placeOf('ready', 'us', [20], { state: 'ready' }),
    ]);
    await places[0].breakDown();
    expect(order(places, 'eu')).toEqual([
      ['ready', 'in us, 20.0 ms'],
      ['overloaded', 'overloaded (load 3.1 per core, above 2), same region (eu), 1.0 ms'],
      ['unreachable', 'unreachable, in us, 1.0 ms'],
      ['down', 'down (circuit open), same region (eu), 1.0 ms'],
    ]);
  });

  it('follows the round trips, though not each single one', async () => {
    const [a, b] = await Promise.all([place('a', undefined, 10), place('b', undefined, 40)]);
    a.measure(60);
    expect(order([a, b])).toEqual([
      ['a', '20.0 ms'],
      ['b', '40.0 ms'],
    ]);
    for (let count = 0; count < 10; count++) a.measure(60);
    expect(names([a, b])).toEqual(['b', 'a']);
    for (let count = 0; count < 20; count++) a.measure(10);
    expect(names([a, b])).toEqual(['a', 'b']);
  });
});

describe('the nearest of real servers', () => {
  async function server(name: string, delay: number) {
    const smtp = await startScriptedSmtp();
    const proxy = await startTcpProxy(smtp.url);
    proxy.delay = delay;
    const options = smtpOptions(`smtp://127.0.0.1:${proxy.port}`, { name, minWarm: 1 });
    return { name, smtp, proxy, guard: guarded(new SmtpTransport(options)) };
  }

  async function start(delays: number[]) {
    const servers = await Promise.all(delays.map((delay, index) => server('abc'[index]!, delay)));
    const routes = new Routes(
      servers.map(({ guard }) => guard),
      'eu',
    );
    onTestFinished(() => routes.close(0));
    await routes.start();
    const order = () => routes.ranking('priority').map(({ transport }) => transport.name);
    const latencies = () => servers.map(({ guard }) => guard.standing.latency);
    const proxies = servers.map(({ proxy }) => proxy) as [TcpProxy, TcpProxy, TcpProxy];
    return { servers, proxies, routes, order, latencies };
  }

  it('is known before the first message, and anew from the NOOPs of idle connections', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { servers, proxies, order, latencies } = await start([100, 0, 300]);
    expect(order()).toEqual(['b', 'a', 'c']);

    [proxies[0].delay, proxies[1].delay, proxies[2].delay] = [0, 300, 0];
    const nextNoop = async (): Promise<void> => {
      const before = latencies();
      await vi.advanceTimersByTimeAsync(20_000);
      await eventually(() => latencies().every((latency, index) => latency !== before[index]));
    };
    for (let count = 0; count < 20 && order().at(-1) !== 'b'; count++) await nextNoop();
    expect(order().at(-1)).toBe('b');
    for (const { smtp } of servers) expect([smtp.connections, smtp.messages]).toEqual([1, []]);
  });

  it('is known anew from the messages', async () => {
    const { servers, proxies, routes, order } = await start([300, 100]);
    expect(order()).toEqual(['b', 'a']);
    proxies[0].delay = 0;
    const options = { lane: 'priority', signal: new AbortController().signal } as const;
    const send = async (name: string): Promise<void> => {
      const [transport] = await routes.for('priority', name);
      await transport!.send(mail(), options);
    };
    // Its connection is still on the slow line of before, as far as anybody knows: nothing but a message tells.
    for (let count = 0; count < 40 && order()[0] === 'b'; count++) await send('a');
    expect(order()).toEqual(['a', 'b']);
    expect(servers.map(({ smtp }) => smtp.commands.filter((line) => line === 'NOOP').length)).toEqual([1, 1]);
  });
});
