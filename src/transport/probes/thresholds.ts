import type { ServerLoad } from '../probe.js';

/** What a probe measures. What a server does not tell is left out. */
export type Figures = Pick<ServerLoad, 'load' | 'freeMemory' | 'freeDisk' | 'queue' | 'latency'>;

/** Beyond these a server is overloaded. What is left out, and what the server does not tell, limits nothing. */
export interface Limits {
  /** Load average per core. */
  maxLoad?: number;
  /** Percent. */
  minFreeMemory?: number;
  /** Percent. */
  minFreeDisk?: number;
  /** Messages. */
  maxQueue?: number;
  /** Milliseconds. */
  maxLatency?: number;
}

/** A figure that was beyond its limit has to come back by this part of it. */
const MARGIN = 0.2;

interface Threshold {
  figure: keyof Figures;
  side: 'above' | 'below';
  limit: number;
  /** Where it has clearly come back. */
  recovered: number;
  tell: (value: number) => string;
}

/**
 * Judges figures by limits, with hysteresis: one that was beyond its limit counts as such until it has come back by a
 * fifth of it, so that a server at its limit is not asked and left in turns.
 */
export class Thresholds {
  private readonly thresholds: readonly Threshold[];
  private readonly exceeded = new Set<Threshold>();

  constructor(limits: Limits) {
    const { maxLoad, minFreeMemory, minFreeDisk, maxQueue, maxLatency } = limits;
    this.thresholds = [
      ...most('load', maxLoad, (value) => `load ${round(value)} per core`),
      ...least('freeMemory', minFreeMemory, (value) => `free memory ${round(value)}%`),
      ...least('freeDisk', minFreeDisk, (value) => `free disk ${round(value)}%`),
      ...most('queue', maxQueue, (value) => `queue of ${value} messages`),
      ...most('latency', maxLatency, (value) => `latency ${Math.round(value)} ms`),
    ];
  }

  /** Why the server is overloaded; undefined when it is not. */
  judge(figures: Figures): string | undefined {
    const reasons = this.thresholds.flatMap((threshold) => {
      const value = figures[threshold.figure];
      const was = this.exceeded.has(threshold);
      const bound = was ? threshold.recovered : threshold.limit;
      if (value === undefined || !beyond(value, bound, threshold.side)) {
        this.exceeded.delete(threshold);
        return [];
      }
      this.exceeded.add(threshold);
      const stillBeyond = beyond(value, threshold.limit, threshold.side);
      const judgement = stillBeyond ? `${threshold.side} ${threshold.limit}` : `not yet back to ${round(bound)}`;
      return [`${threshold.tell(value)}, ${judgement}`];
    });
    return reasons.length > 0 ? reasons.join('; ') : undefined;
  }
}

function most(figure: keyof Figures, limit: number | undefined, tell: Threshold['tell']): Threshold[] {
  if (limit === undefined) return [];
  return [{ figure, side: 'above', limit, recovered: limit * (1 - MARGIN), tell }];
}

function least(figure: keyof Figures, limit: number | undefined, tell: Threshold['tell']): Threshold[] {
  if (limit === undefined) return [];
  // Near 100 there is no room for a fifth more.
  return [{ figure, side: 'below', limit, recovered: limit + Math.min(limit * MARGIN, (100 - limit) / 2), tell }];
}

function beyond(value: number, bound: number, side: Threshold['side']): boolean {
  return side === 'above' ? value > bound : value < bound;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
