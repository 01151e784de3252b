/** What becomes of bulk mail when servers take less than there is: one that throttles, and two of which one is made slow. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bar } from '../lib/bar.js';
import { type Report, benchmark } from '../lib/benchmark.js';
import { number } from '../lib/format.js';
import { atLength } from '../lib/quick.js';
import { RemoteSender, nextIssue } from '../lib/senders/remote-sender.js';
import { storeFor } from '../lib/stores.js';
import { table } from '../lib/table.js';
import { type Taken, ThrottledSink } from '../lib/throttled-sink.js';

const RATES = atLength([14, 200, 1_000], [200]);
const SECONDS = atLength(60, 8);
/** More than the connections could carry in that time. */
const PLENTY = 3;
const CONNECTIONS = 5;
const BYTES = 2_048;
/** Milliseconds that a mail takes at a sink, and at one that is made slow. */
const QUICK = 10;
const SLOW = 100;
/** Mails a second that two quick sinks take. */
const TOGETHER = (2 * CONNECTIONS * 1_000) / QUICK;

interface Throttled extends Taken {
  rate: number;
  perSecond: number;
}

/** Mails a second of each sink. */
interface Shared {
  both: number[];
  oneSlow: number[];
}

await benchmark('bulk-throttled', async (): Promise<Report> => {
  const throttled: Throttled[] = [];
  for (const rate of RATES) {
    console.log(`${rate} mails a second`);
    throttled.push(await throttle(rate));
  }
  console.log('two sinks');
  return report(throttled, await share());
});

/** From the first mail on, which is refused with the others of its burst. */
async function throttle(rate: number): Promise<Throttled> {
  const sink = await ThrottledSink.start({ perSecond: rate });
  const sender = await start([sink]);
  await sender.queue(nextIssue(rate * SECONDS * PLENTY, BYTES));
  await sender.deliver();
  await sleep(SECONDS * 1_000);
  const taken = await sink.taken();
  await Promise.all([sender, sink].map((process) => process.stop()));
  return { rate, ...taken, perSecond: taken.accepted / SECONDS };
}

async function share(): Promise<Shared> {
  const sinks = await Promise.all([ThrottledSink.start({ delay: QUICK }), ThrottledSink.start({ delay: QUICK })]);
  const sender = await start(sinks);
  await sender.queue(nextIssue(TOGETHER * SECONDS * PLENTY, BYTES));
  await sender.deliver();
  const both = await watch(sinks);
  await sinks[0].slowDown(SLOW);
  const oneSlow = await watch(sinks);
  await Promise.all([sender, ...sinks].map((process) => process.stop()));
  return { both, oneSlow };
}

async function start(sinks: readonly ThrottledSink[]): Promise<RemoteSender> {
  const [sink = '', ...others] = sinks.map(({ url }) => url);
  return RemoteSender.start('sendBulk()', {
    sink,
    others,
    store: await storeFor('sendBulk()'),
    connections: CONNECTIONS,
  });
}

/** Mails a second of each, when a while has passed in which the work found its way. */
async function watch(sinks: readonly ThrottledSink[]): Promise<number[]> {
  await sleep(2_000);
  const counts = (): Promise<number[]> => Promise.all(sinks.map((sink) => sink.count()));
  const before = await counts();
  const began = performance.now();
  await sleep((SECONDS * 1_000) / 3);
  const seconds = (performance.now() - began) / 1_000;
  return (await counts()).map((count, index) => (count - (before[index] ?? 0)) / seconds);
}

function report(throttled: readonly Throttled[], { both, oneSlow }: Shared): Report {
  const refusedShare = ({ accepted, refused }: Taken): number => (100 * refused) / (accepted + refused);
  const rows = throttled.map((run) => [
    `${number(run.rate)}`,
    number(run.perSecond),
    `${number((100 * run.perSecond) / run.rate)} %`,
    `${run.refused}`,
    `${number(refusedShare(run))} %`,
  ]);
  const shares = [
    [`both take ${QUICK} ms`, ...both.map(number)],
    [`the first takes ${SLOW} ms`, ...oneSlow.map(number)],
  ];
  const one = `${CONNECTIONS} connections to a sink that takes so many mails in any second and answers others with 421, in the first ${SECONDS} s
of a campaign.`;
  const two = `Two sinks with ${CONNECTIONS} connections each; a mail takes ${QUICK} ms, at the first one ${SLOW} ms later on. Mails a second of each.`;
  const bars: Bar[] = throttled.flatMap((run) => [
    {
      what: `delivered of ${run.rate} a second`,
      measured: (100 * run.perSecond) / run.rate,
      limit: 85,
      aim: 90,
      unit: '%',
      better: 'higher' as const,
    },
    { what: `refused at ${run.rate} a second`, measured: refusedShare(run), limit: 5, aim: 2, unit: '%' },
  ]);
  return {
    sections: [
      `${one}\n\n${table(['it takes', 'it took a second', 'of that', 'refused', 'of all'], rows)}`,
      `${two}\n\n${table(['', 'first', 'second'], shares)}`,
    ],
    bars,
    notes: [],
    faults: [],
    data: { throttled, both, oneSlow },
  };
}
