/** What the size of the mail does to the number delivered a second, beside the usual pattern. */
import { type Report, benchmark } from '../lib/benchmark.js';
import { number, range, size } from '../lib/format.js';
import { inTurn } from '../lib/interleave.js';
import { atLength } from '../lib/quick.js';
import { type Delivery, RemoteSender, nextIssue, perSecond } from '../lib/senders/remote-sender.js';
import type { SenderName } from '../lib/senders/sender.js';
import { type Sink, sinkName, startSink } from '../lib/sink.js';
import { median, summarise } from '../lib/statistics.js';
import { storeFor } from '../lib/stores.js';
import { table } from '../lib/table.js';

const REPEATS = atLength(5, 2);
const USUAL = 'a BullMQ job per mail';
const NAMES = ['sendBulk()', 'send() on the bulk lane', USUAL] as const satisfies readonly SenderName[];
/** Of the HTML, and how many mails of a run have it: the second is of the usual pattern, which is slower. */
const SIZES = [
  { bytes: 2_048, mails: 10_000, usual: 3_000 },
  { bytes: 20_480, mails: 5_000, usual: 2_000 },
  { bytes: 204_800, mails: 1_000, usual: 500 },
] as const;

interface Run extends Delivery {
  sender: SenderName;
  bytes: number;
}

await benchmark('bulk-sizes', async (): Promise<Report> => {
  const sink = await startSink();
  const senders = new Map<SenderName, RemoteSender>();
  for (const name of NAMES) {
    senders.set(name, await RemoteSender.start(name, { sink: sink.url, store: await storeFor(name) }));
  }
  const runs: Run[] = [];
  for (const each of SIZES) {
    console.log(size(each.bytes));
    // The first one only warms up.
    for (let repeat = -1; repeat < REPEATS; repeat++) {
      for (const name of inTurn(NAMES, repeat + 1)) {
        const run = await deliver(senders, name, each, sink);
        if (repeat >= 0) runs.push(run);
      }
    }
  }
  return report(runs);
});

async function deliver(
  senders: ReadonlyMap<SenderName, RemoteSender>,
  sender: SenderName,
  { bytes, mails, usual }: (typeof SIZES)[number],
  sink: Sink,
): Promise<Run> {
  const remote = senders.get(sender);
  if (!remote) throw new Error(`There is no ${sender}`);
  const count = Math.round((sender === USUAL ? usual : mails) / atLength(1, 10));
  return { sender, bytes, ...(await remote.run(nextIssue(count, bytes), sink)) };
}

function report(runs: readonly Run[]): Report {
  const of = (sender: SenderName, bytes: number) =>
    runs.filter((run) => run.sender === sender && run.bytes === bytes).map(perSecond);
  const rows = SIZES.flatMap(({ bytes }) =>
    NAMES.map((name) => {
      const usual = of(USUAL, bytes);
      const ratios = of(name, bytes).map((rate, repeat) => rate / (usual[repeat] ?? NaN));
      const rate = summarise(of(name, bytes));
      return [
        `${size(bytes)}: ${name}`,
        range(rate),
        number((rate.median * bytes) / 2 ** 20),
        `${number(median(ratios))}×`,
      ];
    }),
  );
  const headings = ['delivered a second: median (min to max)', 'mails', 'MB of HTML', '÷ job per mail'];
  const heading = `Newsletters of three sizes over 10 connections to ${sinkName()}, on Redis, one process each, from the start of the
worker on a full queue to the last mail at the server.`;
  return { sections: [`${heading}\n\n${table(headings, rows)}`], bars: [], notes: [], faults: [], data: { runs } };
}
