import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Audience } from '../../src/events/emitter.js';
import { Completions } from '../../src/queue/completions.js';
import type { CampaignReport } from '../../src/queue/reader.js';
import { eventually } from '../support/eventually.js';

const told: string[] = [];
const marks = new Set<string>();
let wanted: boolean;
let looks: number;
let state: CampaignReport['state'];
let reopenings: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  told.length = 0;
  marks.clear();
  [wanted, looks, state, reopenings] = [true, 0, 'running', 0];
});
afterEach(() => {
  vi.useRealTimers();
});

/** One process. */
function process(wants: Audience = 'listeners'): Completions {
  const at = new Date();
  const counts = { total: 1, queued: 0, sent: 1, failed: 0, deferred: 0, cancelled: 0, suppressed: 0, expired: 0 };
  return new Completions(
    { putIfAbsent: (key) => Promise.resolve(!marks.has(key) && marks.add(key).has(key)) },
    {
      progressOf: async (id) => {
        looks++;
        return { report: { id, state, ...counts, startedAt: at, seenAt: at, finishedAt: at }, reopenings };
      },
    },
    {
      wants: (_, audience) => wanted && (audience === undefined || audience === wants),
      emit: (name) => void told.push(name),
    },
    (error) => {
      throw error;
    },
  );
}

it('looks at a campaign once however many of its batches are done at once, and once more after them', async () => {
  const completions = process();
  for (let n = 0; n < 50; n++) completions.settled('c');
  await eventually(() => looks === 1);
  for (let n = 0; n < 50; n++) completions.settled('c');
  state = 'completed';
  await eventually(() => told.length === 1);
  expect(looks).toBe(2);
  await completions.stop();
});

it('tells it once, whichever process finds out, and again when it is complete again', async () => {
  state = 'completed';
  const processes = [process(), process()];
  for (const one of processes) one.settled('c');
  await eventually(() => looks === 2);
  for (const one of processes) await one.stop();
  expect(told).toEqual(['campaign-completed']);
  reopenings = 3;
  const later = process();
  later.settled('c');
  await later.stop();
  expect(told).toHaveLength(2);
});

it('tells who only observes once as well, and takes it from nobody who listens in another process', async () => {
  state = 'completed';
  for (const audience of ['observers', 'observers', 'listeners'] as const) {
    const one = process(audience);
    one.settled('c');
    await one.stop();
  }
  expect(told).toHaveLength(2);
});

it('watches any number of campaigns without a warning', async () => {
  const warnings: string[] = [];
  const warn = ({ name }: Error): void => void warnings.push(name);
  globalThis.process.on('warning', warn);
  const completions = process();
  for (let n = 0; n < 20; n++) completions.settled(`c${n}`);
  await eventually(() => looks === 20);
  await new Promise(setImmediate);
  await completions.stop();
  globalThis.process.off('warning', warn);
  expect(warnings).toEqual([]);
});

it('takes the look that is due when it is stopped, and none later', async () => {
  const completions = process();
  completions.settled('c');
  await eventually(() => looks === 1);
  state = 'completed';
  completions.settled('c');
  await completions.stop();
  expect(told).toHaveLength(1);
  completions.settled('other');
  expect(looks).toBe(2);
});

it('looks again after a minute, in case another process was to tell it and has died', async () => {
  const completions = process();
  completions.settled('c');
  await eventually(() => looks === 1);
  state = 'completed';
  await vi.advanceTimersByTimeAsync(60_000);
  await completions.stop();
  expect(told).toHaveLength(1);
});

it('looks at nothing while nobody listens', async () => {
  wanted = false;
  const completions = process();
  completions.settled('c');
  await completions.stop();
  expect(looks).toBe(0);
});
