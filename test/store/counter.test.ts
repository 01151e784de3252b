import { describe, expect, it, onTestFinished } from 'vitest';
import { openCounter, type Counter } from '../../src/store/counter.js';
import type { Store } from '../../src/store/store.js';
import { eventually } from '../support/eventually.js';
import { openQueueStore } from '../support/open-store.js';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { STORES } from '../support/stores.js';

const KEY = 'mail/main/all';

async function open(connection: string): Promise<Store> {
  const store = await openQueueStore(connection);
  onTestFinished(() => store.close(1_000));
  return store;
}

/** One limit as two processes see it. */
async function openTwo(connection: string, points: number, per: number, key = KEY): Promise<Counter[]> {
  const stores = await Promise.all([open(connection), open(connection)]);
  return stores.map((store) => openCounter(store, key, points, per)!);
}

/** Asks so often, each process in turn, at once. */
const takeMany = (counters: Counter[], times: number) =>
  Promise.all(Array.from({ length: times }, (_, turn) => counters[turn % counters.length]!.take()));

interface Taken {
  asked: number;
  answered: number;
}

/** Asks, and keeps when it was that there was room. */
function recorded() {
  const taken: Taken[] = [];
  const take = async (counter: Counter): Promise<void> => {
    const asked = performance.now();
    if ((await counter.take()) === 0) taken.push({ asked, answered: performance.now() });
  };
  return { taken, take };
}

/** How many surely were within one span of this length, to the millisecond that stores count by. */
function most(taken: Taken[], span: number): number {
  const within = (from: number) => taken.filter(({ asked, answered }) => asked >= from && answered < from + span - 1);
  return Math.max(...taken.map(({ asked }) => within(asked).length));
}

const SHARED = STORES.filter(({ name }) => name !== 'embedded');

describe.each(SHARED)('on $name', (where) => {
  it('two processes share the count, and are told how long to wait', async () => {
    const per = 30_600;
    const counters = await openTwo(await where.create(), 5, per);
    const answers = await takeMany(counters, 15);
    expect(answers.filter((wait) => wait === 0)).toHaveLength(5);
    for (const wait of answers.filter((wait) => wait > 0)) expect(wait).toBeLessThanOrEqual(per);
    // To the end of the span, and not some second or so: no message goes before.
    expect(Math.min(...(await takeMany(counters, 2)))).toBeGreaterThan(per / 2);
  });

  it('other counts are other counts', async () => {
    const connection = await where.create();
    const [a] = await openTwo(connection, 1, 30_000, 'mail/a/all');
    const [b] = await openTwo(connection, 1, 30_000, 'mail/b/all');
    expect(await takeMany([a!, b!], 4)).toEqual([0, 0, expect.any(Number), expect.any(Number)]);
  });

  it('there is room again when the time that was told is over', async () => {
    const [a, b] = await openTwo(await where.create(), 2, 1_020);
    await takeMany([a!, b!], 2);
    const told = performance.now();
    const wait = await a!.take();
    await eventually(async () => (await b!.take()) === 0);
    expect(performance.now() - told).toBeGreaterThanOrEqual(wait - 2);
  });

  it('many may ask before it is connected, without a warning', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on('warning', warned);
    onTestFinished(() => void process.off('warning', warned));
    const counters = await openTwo(await where.create(), 10, 30_000);
    const answers = await takeMany(counters, 50);
    expect(answers.filter((wait) => wait === 0)).toHaveLength(10);
    // Warnings are emitted on the next tick.
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings).toEqual([]);
  });
});

describe('on Redis', () => {
  it('no span holds more than the limit, wherever it begins', async () => {
    const [points, per] = [5, 1_020];
    const { url } = await startRedis();
    const [a, b] = await openTwo(url, points, per);
    const store = await open(url);
    if (store.kind !== 'redis') throw new Error(store.kind);
    await store.ready();
    const { taken, take } = recorded();
    // A window that begins with the first would be empty again soon after these four.
    await take(a!);
    await eventually(async () => expect(await store.client.pttl(`priority-mail:rate:${KEY}`)).toBeLessThan(200));
    await Promise.all([take(a!), take(b!), take(a!), take(b!)]);
    await eventually(async () => {
      await Promise.all([take(a!), take(b!), take(b!)]);
      return taken.length >= 3 * points;
    });
    expect(most(taken, per)).toBeLessThanOrEqual(points);
  });

  it('nothing is left of a count when its time is over', async () => {
    const { url } = await startRedis();
    const store = await open(url);
    await openCounter(store, KEY, 5, 1_020)!.take();
    if (store.kind !== 'redis') throw new Error(store.kind);
    expect(await store.client.keys('*')).toEqual([`priority-mail:rate:${KEY}`]);
    await eventually(async () => expect(await store.client.dbsize()).toBe(0));
  });
});

describe('on PostgreSQL', () => {
  it('no window holds more than the limit', async () => {
    const [points, per] = [5, 1_020];
    const [a, b] = await openTwo(await SHARED.find(({ name }) => name === 'postgres')!.create(), points, per);
    const { taken, take } = recorded();
    await eventually(async () => {
      await Promise.all([take(a!), take(b!), take(a!), take(b!)]);
      return taken.length >= 4 * points;
    });
    // A span of that length touches two windows.
    expect(most(taken, per)).toBeLessThanOrEqual(2 * points);
  });
});

it.each([
  [
    'Redis',
    async () => {
      const redis = await startRedis();
      return { url: redis.url, stop: () => redis.stop(), start: () => redis.restart() };
    },
  ],
  ['PostgreSQL', startPostgres],
])('an outage of %s rejects, and ends by itself', { timeout: 60_000 }, async (_, start) => {
  const server = await start();
  const [counter] = await openTwo(server.url, 100, 30_000);
  expect(await counter!.take()).toBe(0);
  await server.stop();
  await eventually(() => expect(counter!.take()).rejects.toBeInstanceOf(Error));
  await expect(counter!.take()).rejects.toBeInstanceOf(Error);
  await server.start();
  expect(await eventually(async () => (await counter!.take()) + 1, { within: 20_000 })).toBe(1);
});

it('an embedded store, which one process has to itself, counts nothing', async () => {
  const store = await open('pglite://memory');
  expect(openCounter(store, KEY, 1, 1_000)).toBeUndefined();
});
