/** How long a request waits until the mail of 5,000 followers is durably queued. Nothing is delivered meanwhile. */
import type { Bar } from '../lib/bar.js';
import { type Report, benchmark } from '../lib/benchmark.js';
import { number, range } from '../lib/format.js';
import { inTurn } from '../lib/interleave.js';
import { atLength } from '../lib/quick.js';
import { RemoteSender, nextIssue } from '../lib/senders/remote-sender.js';
import type { SenderName } from '../lib/senders/sender.js';
import { median, summarise } from '../lib/statistics.js';
import { hasPostgres, storeFor } from '../lib/stores.js';
import { table } from '../lib/table.js';

const REPEATS = atLength(7, 2);
// As many as it takes until the compiler of Node.js has seen all of it.
const WARM_UPS = atLength(12, 1);
const FOLLOWERS = atLength(5_000, 1_000);
const BYTES = 2_048;
/** Nobody listens there, and nobody asks. */
const NOWHERE = 'smtp://127.0.0.1:1';

const ADD_BULK = 'a BullMQ job per mail';
const ADD = 'a BullMQ job per mail, add() in a loop';
const NAMES: readonly SenderName[] = [
  'sendBulk()',
  ADD_BULK,
  'send() on the bulk lane',
  ADD,
  ...(hasPostgres() ? (['sendBulk(), PostgreSQL'] as const) : []),
  'sendBulk(), embedded store',
];

await benchmark('bulk-queueing', async (): Promise<Report> => {
  const senders = new Map<SenderName, RemoteSender>();
  for (const name of NAMES) {
    senders.set(name, await RemoteSender.start(name, { sink: NOWHERE, store: await storeFor(name), worker: false }));
  }
  const took = new Map<SenderName, number[]>(NAMES.map((name) => [name, []]));
  for (let repeat = -WARM_UPS; repeat < REPEATS; repeat++) {
    console.log(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${REPEATS}`);
    for (const name of inTurn(NAMES, repeat + WARM_UPS)) {
      const milliseconds = (await senders.get(name)?.queue(nextIssue(FOLLOWERS, BYTES))) ?? NaN;
      if (repeat >= 0) took.get(name)?.push(milliseconds);
    }
  }
  return report(took);
});

function report(took: ReadonlyMap<SenderName, readonly number[]>): Report {
  const samples = (name: SenderName) => took.get(name) ?? [];
  /** Repeat by repeat. */
  const ratio = (slow: SenderName, fast: SenderName) =>
    median(samples(slow).map((milliseconds, repeat) => milliseconds / (samples(fast)[repeat] ?? NaN)));
  const rows = NAMES.map((name) => [
    name === ADD_BULK ? `${name}, addBulk()` : name,
    range(summarise(samples(name))),
    number(median(samples(name).map((milliseconds) => FOLLOWERS / (milliseconds / 1_000)))),
    `${number(ratio(ADD_BULK, name))}×`,
  ]);
  const headings = ['queued: median (min to max)', 'ms', 'recipients a second', 'faster than addBulk()'];
  const heading = `${number(FOLLOWERS)} followers' mail of 2 KB HTML plus text, until the store has it; no worker runs. On Redis without
persistence, unless another store is named; PostgreSQL with fsync.`;
  const bars: Bar[] = [
    {
      what: 'sendBulk() against addBulk()',
      measured: ratio(ADD_BULK, 'sendBulk()'),
      limit: 20,
      aim: 40,
      unit: '×',
      better: 'higher',
    },
  ];
  const notes = hasPostgres() ? [] : ['This machine has no PostgreSQL.'];
  return {
    sections: [`${heading}\n\n${table(headings, rows)}`],
    bars,
    notes,
    faults: [],
    data: { followers: FOLLOWERS, milliseconds: Object.fromEntries(took) },
  };
}
