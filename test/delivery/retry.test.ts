import { afterEach, expect, it, vi } from 'vitest';
import { pauseAfter, pauseAfterTrouble } from '../../src/delivery/retry.js';

afterEach(() => vi.restoreAllMocks());

it('doubles the pause with each attempt up to the longest', () => {
  vi.spyOn(Math, 'random').mockReturnValue(1);
  const policy = { firstPause: 60_000, maxPause: 3_600_000 };
  expect([1, 2, 3, 4, 7, 50].map((attempts) => pauseAfter(attempts, policy))).toEqual([
    60_000, 120_000, 240_000, 480_000, 3_600_000, 3_600_000,
  ]);
});

it('spreads it over the upper half', () => {
  const policy = { firstPause: 1_000, maxPause: 60_000 };
  vi.spyOn(Math, 'random').mockReturnValue(0);
  expect(pauseAfter(1, policy)).toBe(500);
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  expect(pauseAfter(1, policy)).toBe(750);
});

it('waits for a transport from one second up to fifteen minutes', () => {
  vi.spyOn(Math, 'random').mockReturnValue(1);
  expect([1, 2, 5, 30].map(pauseAfterTrouble)).toEqual([1_000, 2_000, 16_000, 900_000]);
});
