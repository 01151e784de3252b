import { percentile } from './statistics.js';

/**
 * Tells when something else kept the machine busy, by NOOPs that were measured while no benchmark did.
 *
 * @param roundTrips milliseconds
 * @param nominal what the line adds to each
 * @returns a line for the reader, or none
 */
export function noiseNotes(roundTrips: readonly number[], nominal: number): string[] {
  const slow = percentile(roundTrips, 0.95);
  if (slow < nominal * 1.1 + 2) return [];
  const found = `one NOOP in twenty took ${slow.toFixed(0)} ms or more instead of ${nominal}`;
  return [`This machine had other work (${found}): take these figures again on a quiet one.`];
}
