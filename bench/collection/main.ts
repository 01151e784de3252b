/** How long a request takes whose handler sends 5,000 bulk mails one by one, with and without collection. */
import { Redis } from 'ioredis';
import type { Bar } from '../lib/bar.js';
import { type Report, benchmark } from '../lib/benchmark.js';
import { number, range } from '../lib/format.js';
import { inTurn } from '../lib/interleave.js';
import { letters } from '../lib/newsletter.js';
import { atLength } from '../lib/quick.js';
import { RecordingSink } from '../lib/recording-sink.js';
import { Remote } from '../lib/remote.js';
import { median, summarise } from '../lib/statistics.js';
import { redisUrl } from '../lib/stores.js';
import { table } from '../lib/table.js';
import type { AppOptions } from './app-process.js';
import { startCountingProxy } from './counting-proxy.js';

const REPEATS = atLength(5, 2);
const WARM_UPS = atLength(3, 1);
const FOLLOWERS = atLength(5_000, 1_000);
const BYTES = 2_048;
const FRAMEWORKS = ['Express', 'Fastify'] as const;

/** What a handler does, by its path. */
const WAYS = {
  collected: 'await send() in a loop, collected',
  alone: 'await send() in a loop',
  add: 'await queue.add() in a loop',
  addBulk: 'queue.addBulk()',
} as const;
type Way = keyof typeof WAYS;
const NAMES = Object.keys(WAYS) as Way[];

const app = { followers: FOLLOWERS, bytes: BYTES };
const faults: string[] = [];

await benchmark('collection', async (): Promise<Report> => {
  const redis = await redisUrl();
  const sink = await RecordingSink.start({ record: true });
  const store = new Redis(redis);
  const took = new Map<string, number[]>();
  const urls = new Map<string, string>();
  for (const framework of FRAMEWORKS)
    urls.set(framework, (await start({ framework, redis, sink: sink.url, ...app })).url);
  for (let repeat = -WARM_UPS; repeat < REPEATS; repeat++) {
    console.log(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${REPEATS}`);
    for (const framework of FRAMEWORKS) {
      for (const way of inTurn(NAMES, repeat + WARM_UPS)) {
        const milliseconds = await request(`${urls.get(framework)}/${way}`);
        if (repeat >= 0) took.set(`${framework} ${way}`, [...(took.get(`${framework} ${way}`) ?? []), milliseconds]);
        await store.flushall();
      }
    }
  }
  const roundTrips = await countAndDeliver(redis, sink, store);
  store.disconnect();
  return report(took, roundTrips);
});

/** The same requests over a line that counts; what they queued is delivered afterwards, and has to arrive. */
async function countAndDeliver(redis: string, sink: RecordingSink, store: Redis): Promise<Map<Way, number>> {
  const proxy = await startCountingProxy(Number(new URL(redis).port));
  const through = new URL(redis);
  through.port = `${proxy.port}`;
  const { remote, url } = await start({ framework: 'Express', redis: through.href, sink: sink.url, ...app });
  const counts = new Map<Way, number>();
  let arrived = 0;
  for (const way of NAMES) {
    await store.flushall();
    const before = proxy.roundTrips;
    await request(`${url}/${way}`);
    counts.set(way, proxy.roundTrips - before);
    if (way !== 'collected' && way !== 'alone') {
      const jobs = Number(await store.llen('bull:mails:wait'));
      if (jobs !== FOLLOWERS) faults.push(`${WAYS[way]}: ${jobs} of ${FOLLOWERS} jobs are in the queue`);
      continue;
    }
    await remote.ask('deliver');
    const came = (await sink.mails())
      .slice(arrived)
      .map(({ recipients, subject }) => `${recipients.join()} ${subject}`);
    arrived += came.length;
    const sent = Array.from(
      letters({ id: 'posts', first: 0, count: FOLLOWERS, bytes: BYTES }),
      (l) => `${l.to} ${l.subject}`,
    );
    if (came.sort().join('\n') !== sent.sort().join('\n')) {
      faults.push(`${WAYS[way]}: ${came.length} mails arrived, which are not the ${FOLLOWERS} that were sent`);
    }
  }
  return counts;
}

async function start(options: AppOptions): Promise<{ remote: Remote; url: string }> {
  const remote = await Remote.start(new URL('./app-process.ts', import.meta.url));
  return { remote, url: await remote.ask<string>('boot', options) };
}

async function request(url: string): Promise<number> {
  const started = performance.now();
  const response = await fetch(url, { method: 'POST' });
  await response.text();
  const milliseconds = performance.now() - started;
  if (response.status !== 201) throw new Error(`${url} answered ${response.status}`);
  return milliseconds;
}

function report(took: ReadonlyMap<string, readonly number[]>, roundTrips: ReadonlyMap<Way, number>): Report {
  const samples = (framework: string, way: Way) => took.get(`${framework} ${way}`) ?? [];
  /** Repeat by repeat. */
  const ratio = (framework: string, slow: Way) =>
    median(
      samples(framework, slow).map(
        (milliseconds, repeat) => milliseconds / (samples(framework, 'collected')[repeat] ?? NaN),
      ),
    );
  const rows = NAMES.map((way) => [
    WAYS[way],
    ...FRAMEWORKS.map((framework) => range(summarise(samples(framework, way)))),
    number(ratio('Express', way)),
    `${roundTrips.get(way)?.toLocaleString('en')}`,
  ]);
  const headings = [
    'a request: median (min to max)',
    ...FRAMEWORKS.map((framework) => `${framework}, ms`),
    'times the collected one',
    'round trips to Redis',
  ];
  const heading = `${FOLLOWERS.toLocaleString('en')} different mails of 2 KB HTML plus text, queued by one HTTP request, until its answer. Redis without persistence,
no worker meanwhile. The round trips are those of a further request, on Express.`;
  const bars = FRAMEWORKS.map((framework): Bar => ({
    what: `collected send()s against await queue.add() in a loop, ${framework}`,
    measured: ratio(framework, 'add'),
    limit: 8,
    aim: 12,
    unit: '×',
    better: 'higher',
  }));
  return {
    sections: [`${heading}\n\n${table(headings, rows)}`],
    bars,
    notes: [],
    faults,
    data: { followers: FOLLOWERS, milliseconds: Object.fromEntries(took), roundTrips: Object.fromEntries(roundTrips) },
  };
}
