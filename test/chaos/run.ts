import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import type { ProbeAnswer } from './campaign.js';
import { Faults } from './faults.js';
import { judge, type Verdict } from './judge.js';
import { Scene } from './scene.js';
import { schedule, type Planned, type RunOptions } from './schedule.js';

/** Milliseconds for a run beside its outage: far more than it takes, so that what takes longer is stuck. */
const PATIENCE = 300_000;
/** Into an outage, so that the store's clients have noticed. */
const PROBE_AFTER = 3_000;

/**
 * One campaign and all that happens to it. What it starts is stopped by `cleanUp()`.
 *
 * @throws when the campaign does not come to its end, with the last words of its processes
 */
export async function run(options: RunOptions): Promise<Verdict> {
  const planned = schedule(options);
  const within = PATIENCE + (options.outage ?? 0);
  const startedAt = Date.now();
  const scene = await Scene.open(options);
  try {
    const faults = new Faults(scene);
    const probing = options.outage === undefined ? [] : probe(scene, planned[0]!, options.outage);
    await Promise.all(planned.map((one) => isDue(scene, one, within).then(() => faults.begin(one.fault))));
    const report = await scene.completed(within);
    const probes = await probing;
    // One that comes back late may still have something to say.
    await sleep(500);
    scene.sink.read();
    return judge({ options, startedAt, report, faults: faults.done, accepted: scene.sink.accepted, probes });
  } catch (error) {
    const words = scene.members
      .map(({ name, words: said }) => `${name}:\n  ${said.slice(-15).join('\n  ')}`)
      .join('\n');
    throw new Error(`${(error as Error).message}\n${words}`, { cause: error });
  } finally {
    await scene.close();
  }
}

async function isDue(scene: Scene, planned: Planned, within: number): Promise<void> {
  const due = (): boolean =>
    'read' in planned ? scene.producer.read >= planned.read : scene.accepted >= planned.accepted;
  await eventually(due, { within }).catch((error: unknown) => {
    throw new Error(`${scene.accepted} messages were accepted, and then no more`, { cause: error });
  });
}

/** Tries to queue a message while the store is away, when it has just gone and again later. */
async function probe(scene: Scene, planned: Planned, outage: number): Promise<ProbeAnswer[]> {
  await isDue(scene, planned, PATIENCE);
  const answers: ProbeAnswer[] = [];
  for (const after of [PROBE_AFTER, outage / 2]) {
    await sleep(after);
    answers.push(await scene.probe());
  }
  return answers;
}
