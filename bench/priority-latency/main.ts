/**
 * How long somebody waits for a priority mail over a line with a round trip of 80 ms, beside what else Nest applications
 * send mail with. The server speaks STARTTLS and AUTH and hangs up after 10 s of silence.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { checkArrivals } from '../lib/arrivals.js';
import { type Report, benchmark } from '../lib/benchmark.js';
import { installPeers } from '../lib/peers.js';
import { atLength } from '../lib/quick.js';
import { Field } from './field.js';
import { report } from './report.js';

const ROUNDS = atLength(5, 1);
/** The processes of these are idle while later rounds go on. */
const ROUNDS_THAT_REST = 3;

await benchmark('priority-latency', async (): Promise<Report> => {
  await installPeers();
  const pipelining = await Field.open(true);
  const stepByStep = await Field.open(false);
  const fields = [pipelining, stepByStep];

  for (let round = 1; round <= ROUNDS; round++) {
    console.log(`round ${round} of ${ROUNDS}`);
    const loaded = await Promise.all(fields.map((field) => field.load()));
    await Promise.all(fields.map((field, index) => field.run(loaded[index] ?? [], round <= ROUNDS_THAT_REST)));
    await Promise.all(fields.map((field) => field.wake()));
  }
  console.log('those that have been idle\n');
  await Promise.all(
    fields.map(async (field) => {
      for (let pause = field.pause; pause !== undefined; pause = field.pause) {
        await sleep(pause + 1);
        await field.wake();
      }
    }),
  );

  const faults = await Promise.all(fields.map(async (field) => checkArrivals(field.sent, await field.recipients())));
  return { ...report({ pipelining, stepByStep }), faults: faults.flat() };
});
