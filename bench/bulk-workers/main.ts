/**
 * What further worker processes add where the server's answers set the pace. Its sink answers to each message after
 * 50 ms, and each process has 10 connections, so that one process delivers 200 a second at most.
 */
import type { Bar } from '../lib/bar.js';
import { type Report, benchmark } from '../lib/benchmark.js';
import { number, range } from '../lib/format.js';
import { atLength } from '../lib/quick.js';
import { RecordingSink } from '../lib/recording-sink.js';
import { RemoteSender, nextIssue } from '../lib/senders/remote-sender.js';
import { median, summarise } from '../lib/statistics.js';
import { storeFor } from '../lib/stores.js';
import { table } from '../lib/table.js';

const REPEATS = atLength(3, 1);
const PROCESSES = [1, 2, 4] as const;
const MOST = 4;
const DELAY = 50;
const CONNECTIONS = 10;
/** The same work for each, so that the last batches weigh the same whatever the number of processes. */
const MAILS_PER_PROCESS = atLength(4_000, 1_000);
const BYTES = 2_048;
const PATIENCE = 120_000;

interface Run {
  processes: number;
  perSecond: number;
  /** Mails that each process delivered. */
  shares: number[];
}

await benchmark('bulk-workers', async (): Promise<Report> => {
  const runs: Run[] = [];
  for (let repeat = 1; repeat <= REPEATS; repeat++) {
    for (const processes of PROCESSES) {
      console.log(`repeat ${repeat} of ${REPEATS}: ${processes} ${processes === 1 ? 'process' : 'processes'}`);
      runs.push(await deliver(processes));
    }
  }
  return report(runs);
});

/** A producer queues it all; each worker process has a port of the sink to itself, which counts its mails. */
async function deliver(processes: number): Promise<Run> {
  const sink = await RecordingSink.start({ delay: DELAY }, processes);
  const store = await storeFor('sendBulk()');
  const workers = await Promise.all(
    sink.ports.map((port) =>
      RemoteSender.start('sendBulk()', { sink: `smtp://127.0.0.1:${port}`, store, connections: CONNECTIONS }),
    ),
  );
  const [first] = workers;
  if (!first) throw new Error('There is no worker');
  // Their first mails find connections closed and code cold.
  const warmUp = nextIssue(processes * 500, BYTES);
  await first.run(warmUp, sink);
  const before = await sink.counts();

  const issue = nextIssue(processes * MAILS_PER_PROCESS, BYTES);
  await first.queue(issue);
  const started = performance.now();
  await first.deliver();
  await sink.reached(warmUp.count + issue.count, PATIENCE);
  const seconds = (performance.now() - started) / 1_000;
  await first.settle();
  const shares = (await sink.counts()).map((count, worker) => count - (before[worker] ?? 0));
  await Promise.all([...workers, sink].map((process) => process.stop()));
  const arrived = shares.reduce((sum, share) => sum + share, 0);
  if (arrived !== issue.count) throw new Error(`${arrived} mails arrived of ${issue.count}`);
  return { processes, perSecond: issue.count / seconds, shares };
}

function report(runs: readonly Run[]): Report {
  const of = (processes: number) => runs.filter((run) => run.processes === processes);
  const ratio = (processes: number) =>
    median(of(processes).map((run, repeat) => run.perSecond / (of(1)[repeat]?.perSecond ?? NaN)));
  const rows = PROCESSES.map((processes) => [
    `${processes}`,
    range(summarise(of(processes).map((run) => run.perSecond))),
    `${number(ratio(processes))}×`,
    `${number((100 * ratio(processes)) / processes)} %`,
    of(processes)
      .map(({ shares }) => [...shares].sort((a, b) => b - a).join(' + '))
      .join('; '),
  ]);
  const headings = [
    'worker processes',
    'delivered a second: median (min to max)',
    '÷ one',
    'of ideal',
    'mails of each',
  ];
  const heading = `One campaign of ${number(MAILS_PER_PROCESS)} mails for each process, ${CONNECTIONS} connections a process, to a sink that answers to a
message after ${DELAY} ms; at best a process delivers ${(CONNECTIONS * 1_000) / DELAY} a second.`;
  const bars: Bar[] = [
    { what: '4 processes ÷ 1', measured: ratio(MOST), limit: 3.5, aim: 3.9, unit: '×', better: 'higher' },
  ];
  return { sections: [`${heading}\n\n${table(headings, rows)}`], bars, notes: [], faults: [], data: { runs } };
}
