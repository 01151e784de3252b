import { randomInt } from 'node:crypto';
import { it } from 'vitest';
import { commandFor } from '../chaos/report.js';
import { run } from '../chaos/run.js';
import type { RunOptions } from '../chaos/schedule.js';

const SHORT = { recipients: 1_500, workers: 2, faults: 4, killProducer: false };

/** The long form is `npm run chaos`. */
const RUNS: RunOptions[] = [
  { ...SHORT, store: 'redis', seed: 1 },
  { ...SHORT, store: 'postgres', seed: randomInt(2 ** 31) },
  { ...SHORT, store: 'embedded', seed: 1, faults: 3 },
];

it.concurrent.for(RUNS)(
  'serves everyone on $store though processes, store and mail server die (seed $seed)',
  // Longer than a run is waited for, which tells what its processes said last.
  { timeout: 330_000 },
  async (options, { annotate, expect }) => {
    await annotate(`Again: ${commandFor(options)}`);
    const { lost, duplicates, bound, broken } = await run(options);
    expect(broken).toEqual([]);
    expect(lost).toBe(0);
    expect(duplicates).toBeLessThanOrEqual(bound);
  },
);
