import type { Bar } from '../lib/bar.js';
import type { Report } from '../lib/benchmark.js';
import { barChart } from '../lib/chart.js';
import { number, range } from '../lib/format.js';
import { perSecond, perSecondInAll } from '../lib/senders/remote-sender.js';
import type { SenderName } from '../lib/senders/sender.js';
import { sinkName } from '../lib/sink.js';
import { median, summarise } from '../lib/statistics.js';
import { table } from '../lib/table.js';
import type { Field, Run } from './field.js';

const USUAL: SenderName = 'a BullMQ job per mail';
const LIMIT = "Postfix's smtp-source";

export function report(field: Field): Report {
  const names = [...field.verified.keys()];
  const figures = names.map((name) => figuresOf(name, field));
  const headings = [
    'delivered a second: median (min to max)',
    '',
    '÷ job per mail',
    'with queueing',
    'CPU ms a mail',
    'Redis bytes a mail',
    'bytes on the line',
  ];
  const rows = figures.map((each) => [
    each.sender,
    range(each.delivered),
    `${number(each.ratio.median)}×`,
    number(each.inAll),
    each.cpu.toFixed(3),
    each.storeBytes === undefined ? '' : number(each.storeBytes),
    number(each.bytes),
  ]);
  const source = summarise(field.source);
  if (field.source.length > 0) rows.push([LIMIT, range(source)]);
  const heading = `Newsletters of 2 KB HTML plus text over 10 connections to ${sinkName()}, one process each. What has a queue
is timed from the start of its worker on a full queue to the last mail at the server; "with queueing" adds the queueing.
A repeat is compared with the same repeat of the others.`;
  const chart = barChart({
    title: 'Bulk mail delivered a second',
    subtitle: `2 KB HTML plus text, 10 connections, median of ${figures[0]?.delivered.samples} runs`,
    bars: [
      ...figures.map(({ sender, delivered }) => {
        const ours = sender.startsWith('send');
        return { label: sender, value: delivered.median, low: delivered.min, high: delivered.max, strong: ours };
      }),
      ...(field.source.length > 0
        ? [{ label: `${LIMIT} (the limit)`, value: source.median, low: source.min, high: source.max }]
        : []),
    ],
  });
  return {
    sections: [`${heading}\n\n${table(headings, rows)}`],
    bars: bars(field),
    notes: [],
    faults: [...field.verified.values()].flatMap(({ faults }) => faults),
    charts: [{ name: 'bulk-throughput', caption: 'Bulk mail delivered a second', svg: chart }],
    data: { figures, source, runs: field.runs },
  };
}

function bars(field: Field): Bar[] {
  const ratio = (name: SenderName) => median(ratios(name, field.runs));
  const embedded = field.runs.filter(({ sender }) => sender === 'sendBulk(), embedded store');
  return [
    {
      what: 'sendBulk() ÷ a job per mail',
      measured: ratio('sendBulk()'),
      limit: 5,
      aim: 8,
      unit: '×',
      better: 'higher',
    },
    {
      what: 'send() on the bulk lane ÷ a job per mail',
      measured: ratio('send() on the bulk lane'),
      limit: 3,
      aim: 5,
      unit: '×',
      better: 'higher',
    },
    {
      what: 'sendBulk() on the embedded store',
      measured: median(embedded.map(perSecond)),
      limit: 3_000,
      aim: 6_000,
      unit: 'a second',
      better: 'higher',
    },
  ];
}

function figuresOf(sender: SenderName, { runs, verified }: Field) {
  const own = runs.filter((run) => run.sender === sender);
  const storeBytes = own.flatMap((run) => run.storeBytes ?? []);
  return {
    sender,
    delivered: summarise(own.map(perSecond)),
    inAll: median(own.map(perSecondInAll)),
    ratio: summarise(ratios(sender, runs)),
    cpu: median(own.map(({ cpu, mails }) => cpu / mails)),
    ...(storeBytes.length > 0 ? { storeBytes: median(storeBytes) } : {}),
    bytes: verified.get(sender)?.bytes ?? NaN,
  };
}

/** To the usual pattern, repeat by repeat. */
function ratios(sender: SenderName, runs: readonly Run[]): number[] {
  const usual = runs.filter((run) => run.sender === USUAL);
  return runs
    .filter((run) => run.sender === sender)
    .map((run, repeat) => perSecond(run) / (usual[repeat] ? perSecond(usual[repeat]) : NaN));
}
