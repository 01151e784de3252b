/** What repeated measurements of one thing gave. */
export interface Summary {
  samples: number;
  min: number;
  median: number;
  max: number;
}

export function summarise(samples: readonly number[]): Summary {
  return {
    samples: samples.length,
    min: percentile(samples, 0),
    median: median(samples),
    max: percentile(samples, 1),
  };
}

export function median(samples: readonly number[]): number {
  const sorted = ascending(samples);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
}

/**
 * The smallest sample that at least this share of them does not exceed (nearest rank).
 *
 * @param share from 0 to 1
 */
export function percentile(samples: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(share * samples.length));
  return ascending(samples)[rank - 1] ?? NaN;
}

function ascending(samples: readonly number[]): number[] {
  return [...samples].sort((a, b) => a - b);
}
