import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Counts } from '../../src/delivery/ledger.js';
import { Shift } from '../../src/queue/shift.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const counts = (some: Partial<Counts>): Counts => ({
  ...{ sent: 0, failed: 0, deferred: 0, cancelled: 0, expired: 0 },
  ...some,
});

it.each([
  [60_000, 59_000],
  [2_000, 1_500],
  [100, 75],
])('of %i ms leaves the last for recording and handing back, and cuts connections after %i ms', (length, until) => {
  const shift = new Shift(length);
  expect(shift.left).toBe(until);
  expect(until + shift.lastWords).toBeLessThan(length);
  vi.advanceTimersByTime(until + 1);
  expect(shift).toMatchObject({ left: 0, hasTime: false });
});

it('starts no message when too little time is left for two like the last ones', () => {
  const shift = new Shift(60_000);
  for (let n = 0; n < 50; n++) shift.took(3_000);
  vi.advanceTimersByTime(52_500);
  expect(shift.hasTime).toBe(true);
  vi.advanceTimersByTime(1_000);
  expect(shift.hasTime).toBe(false);
});

it('learns nothing from messages that had been settled before', () => {
  const shift = new Shift(60_000);
  shift.took(3_000);
  for (let n = 0; n < 50; n++) shift.took(0.1);
  vi.advanceTimersByTime(55_000);
  expect(shift.hasTime).toBe(false);
});

it('does not let one slow message end it before half of it is over', () => {
  const shift = new Shift(60_000);
  shift.took(300_000);
  vi.advanceTimersByTime(28_000);
  expect(shift.hasTime).toBe(true);
});

it('counts what was added to the ledgers, and what is put off at its end', () => {
  const shift = new Shift(60_000);
  shift.delivered('a', counts({ sent: 5, deferred: 2 }), counts({ sent: 8, deferred: 1, failed: 1 }));
  shift.delivered('b', counts({}), counts({ sent: 1, deferred: 3 }));
  shift.delivered('a', counts({ sent: 8, deferred: 1, failed: 1 }), counts({ sent: 9, failed: 1 }));
  expect(shift.report).toEqual({ batches: 2, sent: 5, failed: 1, deferred: 3 });
});
