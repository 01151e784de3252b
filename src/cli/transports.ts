import type { TransportHealth } from '../nest/mail-health.js';

/** A transport's place in each of its lanes, such as `priority 1, bulk 2`. */
export function ranks({ rank }: TransportHealth): string {
  return Object.entries(rank)
    .map(([lane, place]) => `${lane} ${place}`)
    .join(', ');
}
