/**
 * The measurements behind the bulk lane's defaults: one option is turned, the others stay as they are, to a server that
 * answers at once and to one that takes 20 ms for each message.
 */
import { type Report, benchmark } from '../lib/benchmark.js';
import { range, size } from '../lib/format.js';
import { inTurn } from '../lib/interleave.js';
import { atLength } from '../lib/quick.js';
import { RecordingSink } from '../lib/recording-sink.js';
import { RemoteSender, nextIssue, perSecond } from '../lib/senders/remote-sender.js';
import type { SenderName, SenderOptions } from '../lib/senders/sender.js';
import { type Sink, startSink } from '../lib/sink.js';
import { summarise } from '../lib/statistics.js';
import { storeFor } from '../lib/stores.js';
import { table } from '../lib/table.js';

const DELAY = 20;
const CONNECTIONS = 10;
const BYTES = 2_048;

interface Setting {
  label: string;
  options: Partial<SenderOptions>;
}

interface Knob {
  name: string;
  sender: SenderName;
  settings: Setting[];
}

const KNOBS: readonly Knob[] = [
  {
    name: 'batch.size',
    sender: 'sendBulk()',
    settings: [50, 100, 250, 500, 1_000].map((value) => ({ label: `${value}`, options: { batch: { size: value } } })),
  },
  {
    // The batches of a campaign hold only what differs and do not come near it.
    name: 'batch.maxBytes',
    sender: 'send() on the bulk lane',
    settings: [2 ** 16, 2 ** 18, 2 ** 20].map((value) => ({
      label: size(value),
      options: { batch: { maxBytes: value } },
    })),
  },
  {
    name: 'worker.batches',
    sender: 'sendBulk()',
    settings: [1, 2, 4, 8].map((value) => ({ label: `${value}`, options: { batches: value } })),
  },
  {
    name: 'maxConnections',
    sender: 'sendBulk()',
    settings: [1, 2, 5, 10, 20].map((value) => ({ label: `${value}`, options: { connections: value } })),
  },
];

interface Line {
  name: 'at once' | 'after 20 ms';
  repeats: number;
  /** Mails of a run. */
  mails: (setting: Setting) => number;
  start: () => Promise<Sink>;
}

const LINES: readonly Line[] = [
  { name: 'at once', repeats: atLength(3, 1), mails: () => atLength(6_000, 600), start: startSink },
  {
    name: 'after 20 ms',
    repeats: atLength(2, 1),
    // Some seconds of what the connections can do.
    mails: ({ options }) => (options.connections ?? CONNECTIONS) * atLength(180, 30),
    start: () => RecordingSink.start({ delay: DELAY }),
  },
];

interface Measured {
  knob: string;
  setting: string;
  line: Line['name'];
  perSecond: number[];
}

await benchmark('bulk-knobs', async (): Promise<Report> => {
  const measured: Measured[] = [];
  for (const line of LINES) {
    const sink = await line.start();
    for (const knob of KNOBS) {
      console.log(`${line.name}: ${knob.name}`);
      measured.push(...(await turn(knob, line, sink)));
    }
    await sink.stop();
  }
  return report(measured);
});

async function turn({ name, sender, settings }: Knob, line: Line, sink: Sink): Promise<Measured[]> {
  const runners = await Promise.all(
    settings.map(async (setting) => {
      const options = { sink: sink.url, store: await storeFor(sender), connections: CONNECTIONS, ...setting.options };
      return { setting, remote: await RemoteSender.start(sender, options), rates: [] as number[] };
    }),
  );
  for (let repeat = -1; repeat < line.repeats; repeat++) {
    for (const { setting, remote, rates } of inTurn(runners, repeat + 1)) {
      const warmingUp = repeat < 0;
      const mails = Math.ceil(line.mails(setting) / (warmingUp ? 4 : 1));
      const rate = perSecond(await remote.run(nextIssue(mails, BYTES), sink));
      if (!warmingUp) rates.push(rate);
    }
  }
  await Promise.all(runners.map(({ remote }) => remote.stop()));
  return runners.map(({ setting, rates }) => ({
    knob: name,
    setting: setting.label,
    line: line.name,
    perSecond: rates,
  }));
}

function report(measured: readonly Measured[]): Report {
  const sections = KNOBS.map(({ name, sender, settings }) => {
    const rows = settings.map(({ label }) => [
      label,
      ...LINES.map((line) => {
        const found = measured.find((each) => each.knob === name && each.setting === label && each.line === line.name);
        return range(summarise(found?.perSecond ?? []));
      }),
    ]);
    const heading = `\`${name}\`, delivered a second by \`${sender}\` to a server that answers at once and to one that takes ${DELAY} ms for a message.`;
    return `${heading}\n\n${table([name, ...LINES.map((line) => line.name)], rows)}`;
  });
  return { sections, bars: [], notes: [], faults: [], data: { measured } };
}
