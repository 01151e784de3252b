import { expect, it } from 'vitest';
import { type Bar, isMet, verdict } from '../../bench/lib/bar.js';
import type { Result } from '../../bench/lib/benchmark.js';
import { inTurn } from '../../bench/lib/interleave.js';
import { resultsPage } from '../../bench/lib/results-page.js';

const speed: Bar = { what: 'speed', measured: 6, limit: 5, aim: 8, unit: '×', better: 'higher' };
const delay: Bar = { what: 'delay', measured: 6, limit: 5, aim: 3, unit: 'ms' };

it('bars are met upwards or downwards', () => {
  expect([5, 6, 8, 4].map((measured) => verdict({ ...speed, measured }))).toEqual(['met', 'met', 'aim met', 'not met']);
  expect([5, 4, 3, 6].map((measured) => verdict({ ...delay, measured }))).toEqual(['met', 'met', 'aim met', 'not met']);
  expect([isMet(speed), isMet(delay), isMet({ ...speed, measured: NaN })]).toEqual([true, false, false]);
});

it('everybody has a turn at being first', () => {
  expect([0, 1, 2, 3].map((repeat) => inTurn(['a', 'b', 'c'], repeat).join(''))).toEqual(['abc', 'bca', 'cab', 'abc']);
});

it('the page of results has the bars first, then everything else', () => {
  const result: Result = {
    name: 'race',
    at: '2026-02-03T04:05:06.000Z',
    machine: '2 × CPU',
    load: 0.25,
    seconds: 12,
    quick: false,
    sections: ['Times.\n\n| a |\n| - |'],
    bars: [{ ...speed, verdict: 'met' }],
    notes: ['A note.'],
    faults: ['1 mails are missing'],
    charts: [{ name: 'race', caption: 'Who won', svg: '<svg/>' }],
    data: undefined,
  };
  const page = resultsPage([result], ['Redis 7.0']);
  expect(page).toContain('2026-02-03, 2 × CPU. Redis 7.0.');
  expect(page).toMatch(/\| \[race\]\(#race\): speed \| +6\.00 × \| +≥ 5 × \| +≥ 8 × \| +met \|/);
  const order = [
    '## race',
    'Times.',
    '![Who won](charts/race.svg)',
    '**Fault:** 1 mails are missing',
    'A note.',
    '12 s',
  ];
  expect(order.map((text) => page.indexOf(text))).toEqual(
    order.map((text) => page.indexOf(text)).sort((a, b) => a - b),
  );
  expect(order.filter((text) => !page.includes(text))).toEqual([]);
});
