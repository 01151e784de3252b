/** `npm run chaos`: campaigns while everything around them fails. `--help` lists what can be chosen. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { parseDuration } from '../../src/message/duration.js';
import { cleanUp } from '../support/cleanup.js';
import type { Verdict } from './judge.js';
import { commandFor, describeVerdict, intention } from './report.js';
import { run } from './run.js';
import type { RunOptions } from './schedule.js';
import { STORE_NAMES, type StoreName } from './store.js';

const HELP = `npm run chaos -- [options]

  --store redis|postgres|embedded|all   default all
  --seed N                              default: one that is made up, and printed
  --recipients N                        default 20000
  --workers N                           processes that deliver, default 3; on the embedded store one
  --faults N                            of processes and servers, default 12
  --rounds N                            runs on each store, each with the next seed; default 1
  --minutes N                           rounds are begun until so many minutes have passed
  --no-producer-kill                    spares the half minute that its claim takes to run out
  --outage 5m                           instead of all faults: the store is away that long
  --json                                a line of JSON for each run instead of text`;

const { values } = parseArgs({
  allowNegative: true,
  options: {
    store: { type: 'string', default: 'all' },
    seed: { type: 'string' },
    recipients: { type: 'string', default: '20000' },
    workers: { type: 'string', default: '3' },
    faults: { type: 'string', default: '12' },
    rounds: { type: 'string' },
    minutes: { type: 'string' },
    'producer-kill': { type: 'boolean', default: true },
    outage: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(HELP);
else await campaigns();

async function campaigns(): Promise<void> {
  const first = values.seed === undefined ? randomInt(1, 2 ** 31) : whole('seed', values.seed);
  const minutes = values.minutes === undefined ? 0 : whole('minutes', values.minutes);
  const rounds = values.rounds === undefined ? (minutes > 0 ? Infinity : 1) : whole('rounds', values.rounds);
  const deadline = minutes > 0 ? performance.now() + minutes * 60_000 : Infinity;
  const outage = values.outage === undefined ? undefined : parseDuration(values.outage);
  if (values.outage !== undefined && outage === undefined) refuse('outage', values.outage, 'a duration such as 5m');
  if (outage !== undefined && values.store === 'embedded')
    refuse('store', 'embedded', 'a store that can be away alone');

  for (let round = 0; round < rounds && performance.now() < deadline; round++) {
    for (const store of stores(values.store)) {
      if (outage !== undefined && store === 'embedded') continue;
      await one({
        store,
        seed: first + round,
        recipients: whole('recipients', values.recipients),
        workers: Math.max(1, whole('workers', values.workers)),
        faults: whole('faults', values.faults),
        killProducer: values['producer-kill'],
        ...(outage === undefined ? {} : { outage }),
      });
    }
  }
}

async function one(options: RunOptions): Promise<void> {
  if (!values.json) console.log(intention(options));
  let broken = true;
  try {
    const verdict: Verdict = await run(options);
    console.log(values.json ? JSON.stringify(verdict) : describeVerdict(verdict));
    broken = verdict.broken.length > 0;
  } catch (error) {
    const { message } = error as Error;
    console.log(values.json ? JSON.stringify({ options, broken: [message] }) : message);
  } finally {
    await cleanUp();
  }
  if (!broken) return;
  process.exitCode = 1;
  console.error(`Again: ${commandFor(options)}`);
}

function stores(wanted: string): readonly StoreName[] {
  if (wanted === 'all') return STORE_NAMES;
  return [STORE_NAMES.find((name) => name === wanted) ?? refuse('store', wanted, `${STORE_NAMES.join(', ')} or all`)];
}

function whole(name: string, text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : refuse(name, text, 'a whole number');
}

function refuse(name: string, text: string, wanted: string): never {
  console.error(`--${name} ${text}: give ${wanted}.`);
  process.exit(2);
}
