import { expect, it } from 'vitest';
import { Run } from '../../src/queue/run.js';
import type { Shift } from '../../src/queue/shift.js';
import type { BatchWorker } from '../../src/queue/worker.js';

/** A worker of a run, of which nothing but its end is real. */
function worker(parts: Partial<BatchWorker>): BatchWorker {
  const still = { idle: true, start: () => undefined, finish: () => Promise.resolve(), stop: () => Promise.resolve() };
  return Object.create(still, Object.getOwnPropertyDescriptors(parts)) as BatchWorker;
}
const open = (): Promise<void> => Promise.resolve();
const sweep = (): Promise<void> => Promise.resolve();
const never = new Promise<never>(() => undefined);

it('looks again when the last worker was handed a batch after the queue had been found empty', async () => {
  let workers = 0;
  const createWorker = (shift: Shift): BatchWorker => {
    const late = async (): Promise<void> => (workers === 1 ? shift.take() : undefined);
    workers++;
    return worker({ finish: late });
  };
  const run = new Run(60_000, { open, sweep, isAnythingDue: () => Promise.resolve(false), createWorker });
  expect(await run.work(true)).toMatchObject({ reason: 'empty' });
  expect(workers).toBe(2);
});

it('does not take the queue for empty while the worker has a batch, or while the store does not answer', async () => {
  const answers = [new Error('away'), new Error('away'), false];
  let idle = false;
  let asked = 0;
  const run = new Run(60_000, {
    open,
    sweep,
    isAnythingDue: async () => {
      expect(idle).toBe(true);
      const answer = answers[asked++]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    createWorker: () =>
      worker({
        get idle() {
          setTimeout(() => (idle = true), 100);
          return idle;
        },
      }),
  });
  expect(await run.work(true)).toMatchObject({ reason: 'empty' });
  expect(asked).toBe(3);
});

it('ends at its deadline while a store hangs, whatever it was asked', async () => {
  const hanging = { isAnythingDue: () => never, createWorker: () => worker({ finish: () => never }) };
  expect(await new Run(300, { open, sweep, ...hanging }).work(true)).toMatchObject({ reason: 'deadline' });
  const closing = { ...hanging, isAnythingDue: () => Promise.resolve(false) };
  expect(await new Run(300, { open, sweep, ...closing }).work(true)).toMatchObject({ reason: 'deadline' });
  await expect(new Run(300, { open: () => never, sweep, ...hanging }).work(true)).rejects.toMatchObject({
    name: 'MailQueueUnavailableError',
    message: "The mail queue's store did not answer before the deadline.",
  });
});

it('sweeps at its end when time is left, and for no longer than that', async () => {
  const swept: string[] = [];
  const parts = {
    open,
    isAnythingDue: () => Promise.resolve(false),
    createWorker: () => worker({ finish: async () => void swept.push('finished') }),
  };
  const quick = new Run(60_000, { ...parts, sweep: async () => void swept.push('swept') });
  expect(await quick.work(true)).toMatchObject({ reason: 'empty' });
  expect(swept).toEqual(['finished', 'swept']);
  const slow = new Run(300, { ...parts, sweep: () => never });
  expect(await slow.work(true)).toMatchObject({ reason: 'empty' });
});
