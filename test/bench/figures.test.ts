import { describe, expect, it } from 'vitest';
import { checkArrivals } from '../../bench/lib/arrivals.js';
import { median, percentile, summarise } from '../../bench/lib/statistics.js';
import { table } from '../../bench/lib/table.js';

describe('statistics of the benchmarks', () => {
  it('take the sample of that rank', () => {
    const samples = Array.from({ length: 1_000 }, (_, n) => 1_000 - n);
    expect([0, 0.5, 0.99, 0.999, 1].map((share) => percentile(samples, share))).toEqual([1, 500, 990, 999, 1_000]);
  });

  it('take the middle of an even number', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
    expect(summarise([7])).toEqual({ samples: 1, min: 7, median: 7, max: 7 });
    expect(median([])).toBeNaN();
  });
});

describe('checkArrivals', () => {
  it('finds nothing when every mail arrived once', () => {
    expect(checkArrivals(['a', 'b'], ['b', 'a'])).toEqual([]);
  });

  it('tells what is missing, came twice or was never sent', () => {
    expect(checkArrivals(['a', 'b', 'c'], ['b', 'c', 'c', 'd'])).toEqual([
      '1 mails are missing, such as to a',
      '1 mails arrived more than once, such as to c',
      '1 mails arrived that nobody sent, such as to d',
    ]);
  });
});

describe('table', () => {
  it('is Markdown', () => {
    expect(table(['', 'ms'], [['first', '12']])).toBe('|       | ms |\n| ----- | -: |\n| first | 12 |');
  });
});
