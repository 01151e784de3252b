import { mkdir, writeFile } from 'node:fs/promises';
import { cleanUp } from '../../test/support/cleanup.js';
import { type Bar, describeBar, isMet } from './bar.js';
import { machine } from './machine.js';

export interface Report {
  /** Printed as they are, in this order. */
  sections: string[];
  bars: Bar[];
  /** What a reader should know about these very figures. */
  notes: string[];
  /** Mails that did not arrive, or did so twice, and whatever else makes the figures worthless. */
  faults: string[];
  /** All that was measured, for the file of results. */
  data: unknown;
}

const results = new URL('../results/', import.meta.url);

/**
 * Runs one benchmark as the whole of this process. A bar that is not met is only reported; faults make the process fail.
 *
 * @param name of its folder, and of the file in `bench/results`
 */
export async function benchmark(name: string, measure: () => Promise<Report>): Promise<void> {
  // Ends the servers: without a listener Node.js runs no 'exit' listeners on a signal.
  process.once('SIGINT', () => process.exit(130));
  const started = performance.now();
  const host = machine();
  console.log(`${name}\n${host}\n`);
  try {
    const { sections, bars, notes, faults, data } = await measure();
    for (const section of sections) console.log(`${section}\n`);
    for (const bar of bars) console.log(describeBar(bar));
    for (const note of notes) console.log(`note     ${note}`);
    for (const fault of faults) console.log(`FAULT    ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
    const seconds = Math.round((performance.now() - started) / 1_000);
    console.log(`\n${seconds} s`);
    const verdicts = bars.map((bar) => ({ ...bar, met: isMet(bar) }));
    const file = { name, at: new Date().toISOString(), machine: host, seconds, bars: verdicts, notes, faults, data };
    await mkdir(results, { recursive: true });
    await writeFile(new URL(`${name}.json`, results), `${JSON.stringify(file, undefined, 2)}\n`);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}
