import { describe, expect, it } from 'vitest';
import { Thresholds, type Figures, type Limits } from '../../src/transport/probes/thresholds.js';

describe('a figure beyond its limit', () => {
  it.each<[string, Limits, Figures[], (string | undefined)[]]>([
    [
      'is the load, until it is back by a fifth',
      { maxLoad: 2 },
      [{ load: 2 }, { load: 3.104 }, { load: 1.7 }, { load: 1.6 }, { load: 2 }],
      [undefined, 'load 3.1 per core, above 2', 'load 1.7 per core, not yet back to 1.6', undefined, undefined],
    ],
    [
      'is free memory, until there is a fifth more',
      { minFreeMemory: 5 },
      [{ freeMemory: 5 }, { freeMemory: 4.9 }, { freeMemory: 5.9 }, { freeMemory: 6 }],
      [undefined, 'free memory 4.9%, below 5', 'free memory 5.9%, not yet back to 6', undefined],
    ],
    [
      'is free disk, which near 100 comes back half-way',
      { minFreeDisk: 90 },
      [{ freeDisk: 89 }, { freeDisk: 94 }, { freeDisk: 95 }],
      ['free disk 89%, below 90', 'free disk 94%, not yet back to 95', undefined],
    ],
    [
      'is the queue',
      { maxQueue: 1_000 },
      [{ queue: 1_001 }, { queue: 801 }, { queue: 800 }],
      ['queue of 1001 messages, above 1000', 'queue of 801 messages, not yet back to 800', undefined],
    ],
    [
      'is the queue, of which there is to be none',
      { maxQueue: 0 },
      [{ queue: 1 }, { queue: 0 }],
      ['queue of 1 messages, above 0', undefined],
    ],
    [
      'is the latency',
      { maxLatency: 3_000 },
      [{ latency: 3_000.6 }, { latency: 2_400 }],
      ['latency 3001 ms, above 3000', undefined],
    ],
  ])('%s', (_, limits, figures, reasons) => {
    const thresholds = new Thresholds(limits);
    expect(figures.map((figure) => thresholds.judge(figure))).toEqual(reasons);
  });

  it('is one of several, and each comes back by itself', () => {
    const thresholds = new Thresholds({ maxLoad: 2, maxQueue: 100 });
    expect(thresholds.judge({ load: 3, queue: 200 })).toBe(
      'load 3 per core, above 2; queue of 200 messages, above 100',
    );
    expect(thresholds.judge({ load: 1.8, queue: 10 })).toBe('load 1.8 per core, not yet back to 1.6');
    expect(thresholds.judge({ load: 1, queue: 90 })).toBeUndefined();
  });

  it('that the server does not tell limits nothing', () => {
    const thresholds = new Thresholds({ maxLoad: 2, minFreeDisk: 10 });
    expect(thresholds.judge({ load: 3 })).toBe('load 3 per core, above 2');
    expect(thresholds.judge({})).toBeUndefined();
    expect(thresholds.judge({ load: 1.8 })).toBeUndefined();
  });
});
