import { mkdir, writeFile } from 'node:fs/promises';
import { cleanUp } from '../../test/support/cleanup.js';
import { type Bar, type Verdict, describeBar, verdict } from './bar.js';
import { load, machine } from './machine.js';
import { quick } from './quick.js';

/** A picture of the figures. */
export interface Chart {
  /** Of its file, without `.svg`. */
  name: string;
  /** What it shows, for those who do not see it. */
  caption: string;
  svg: string;
}

export interface Report {
  /** Printed as they are, in this order: tables, each under a line that says what it shows. */
  sections: string[];
  bars: Bar[];
  /** What a reader should know about these very figures. */
  notes: string[];
  /** Mails that did not arrive, or did so twice, and whatever else makes the figures worthless. */
  faults: string[];
  charts?: Chart[];
  /** All that was measured, for the file of results. */
  data: unknown;
}

/** What stands in `bench/results/<name>.json`. */
export interface Result extends Omit<Report, 'bars'> {
  name: string;
  at: string;
  machine: string;
  /** Of the machine, when it began. */
  load: number;
  seconds: number;
  quick: boolean;
  bars: (Bar & { verdict: Verdict })[];
}

export const results = new URL('../results/', import.meta.url);

/**
 * Runs one benchmark as the whole of this process. A bar that is not met is only reported; faults make the process fail.
 *
 * @param name of its folder, and of the file in `bench/results`
 */
export async function benchmark(name: string, measure: () => Promise<Report>): Promise<void> {
  // Ends the servers: without a listener Node.js runs no 'exit' listeners on a signal.
  process.once('SIGINT', () => process.exit(130));
  const started = performance.now();
  const host = { machine: machine(), load: load() };
  console.log(`${name}\n${host.machine}, load ${host.load.toFixed(1)}\n`);
  try {
    const report = await measure();
    const { sections, bars, notes, faults } = report;
    if (quick) notes.push('A short try: no figures to go by.');
    for (const section of sections) console.log(`${section}\n`);
    for (const bar of bars) console.log(describeBar(bar));
    for (const note of notes) console.log(`note     ${note}`);
    for (const fault of faults) console.log(`FAULT    ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
    const seconds = Math.round((performance.now() - started) / 1_000);
    console.log(`\n${seconds} s`);
    const judged = bars.map((bar) => ({ ...bar, verdict: verdict(bar) }));
    const result: Result = {
      name,
      at: new Date().toISOString(),
      ...host,
      seconds,
      quick,
      ...report,
      bars: judged,
    };
    await mkdir(results, { recursive: true });
    await writeFile(new URL(`${name}.json`, results), `${JSON.stringify(result, undefined, 2)}\n`);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}
