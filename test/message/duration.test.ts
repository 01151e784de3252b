import { expect, it } from 'vitest';
import { parseDuration } from '../../src/message/duration.js';

it.each([
  [0, 0],
  [1500, 1500],
  ['250ms', 250],
  ['30s', 30_000],
  ['1.5s', 1_500],
  ['15m', 900_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['10 s', 10_000],
])('reads %j as %d ms', (value, expected) => {
  expect(parseDuration(value)).toBe(expected);
});

it.each([
  -1,
  Infinity,
  NaN,
  '',
  '30',
  's',
  '-1s',
  '1w',
  '1s2m',
  '30S',
  ' 30s',
  `${'9'.repeat(400)}d`,
  null,
  undefined,
  {},
])('refuses %j', (value) => {
  expect(parseDuration(value)).toBeUndefined();
});
