/** What memory a process needs while recipients stream through sendBulk() on Redis, and whether that grows with them. */
import { type Report, benchmark } from '../lib/benchmark.js';
import { lineChart } from '../lib/chart.js';
import { number } from '../lib/format.js';
import { atLength } from '../lib/quick.js';
import { usedMemory } from '../lib/redis-memory.js';
import { Remote } from '../lib/remote.js';
import { nextIssue } from '../lib/senders/remote-sender.js';
import { storeFor } from '../lib/stores.js';
import { table } from '../lib/table.js';
import type { Queued } from './producer-process.js';

const WARM_UP = 10_000;
const MOST = atLength(1_000_000, 50_000);
const COUNTS = [1_000, 10_000, 100_000, MOST].filter((count) => count <= MOST);
const BYTES = 2_048;
const PATIENCE = 600_000;
const MEGABYTE = 2 ** 20;

interface Run extends Queued {
  count: number;
  storeBytes: number;
}

await benchmark('bulk-memory', async (): Promise<Report> => {
  const runs: Run[] = [];
  for (const count of COUNTS) {
    console.log(`${number(count)} recipients`);
    runs.push(await queue(count));
  }
  return report(runs);
});

/** In a process of its own, which has queued a small campaign before. */
async function queue(count: number): Promise<Run> {
  const store = (await storeFor('sendBulk()')) ?? '';
  const producer = await Remote.start(new URL('./producer-process.ts', import.meta.url));
  await producer.ask('boot', store);
  await producer.ask('queue', nextIssue(WARM_UP, BYTES));
  const empty = await usedMemory(store);
  const queued = await producer.ask<Queued>('queue', nextIssue(count, BYTES), PATIENCE);
  const storeBytes = ((await usedMemory(store)) - empty) / count;
  await producer.stop();
  return { count, storeBytes, ...queued };
}

function report(runs: readonly Run[]): Report {
  const grown = ({ before, peak }: Run, of: 'rss' | 'heap') => (peak[of] - before[of]) / MEGABYTE;
  const rows = runs.map((run) => [
    number(run.count),
    number(run.milliseconds / 1_000),
    number(run.count / (run.milliseconds / 1_000)),
    number(run.before.rss / MEGABYTE),
    `+${number(grown(run, 'rss'))}`,
    `+${number(grown(run, 'heap'))}`,
    number(run.storeBytes),
  ]);
  const headings = [
    'recipients',
    'seconds',
    'a second',
    'RSS before, MB',
    'RSS at its peak',
    'heap and external at their peak',
    'Redis bytes each',
  ];
  const heading = `Queueing with \`sendBulk()\` from a generator on Redis, no worker in the process, each in a fresh one after a warm-up of
${number(WARM_UP)}. Memory is sampled every 50 ms; the peak of the RSS is the system's.`;
  const most = runs.at(-1);
  const measured = most ? grown(most, 'rss') : NaN;
  const caption = `Memory while ${number(MOST)} recipients are queued`;
  return {
    sections: [`${heading}\n\n${table(headings, rows)}`],
    bars: [{ what: `peak RSS over ${number(MOST)} recipients`, measured, limit: 150, aim: 60, unit: 'MB more' }],
    notes: [],
    faults: [],
    charts: most ? [{ name: 'bulk-memory', caption, svg: chart(caption, most) }] : [],
    data: { runs: runs.map(({ samples, ...run }) => ({ ...run, samples: thinned(samples) })) },
  };
}

function chart(title: string, { samples }: Run): string {
  const points = [...thinned(samples), ...samples.slice(-1)];
  return lineChart({
    title,
    subtitle: 'sendBulk() from a generator on Redis, no worker in the process, sampled every 50 ms',
    x: { label: 'recipients queued' },
    y: { label: 'MB' },
    lines: [
      { label: 'RSS', points: points.map(({ queued, rss }) => [queued, rss / MEGABYTE]) },
      { label: 'heap and external', points: points.map(({ queued, heap }) => [queued, heap / MEGABYTE]) },
    ],
  });
}

/** At most some hundred, the highest of each stretch: a chart has no room for more, and a peak must not be lost. */
function thinned(samples: Run['samples']): Run['samples'] {
  const stretch = Math.ceil(samples.length / 400);
  return Array.from({ length: Math.ceil(samples.length / stretch) }, (_, index) =>
    samples.slice(index * stretch, (index + 1) * stretch).reduce((most, next) => (next.rss > most.rss ? next : most)),
  );
}
