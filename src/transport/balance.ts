import type { GuardedTransport } from './guarded.js';

/**
 * How transports share the bulk mail that each of them has room for. `least-loaded`: to the one whose window is the least
 * in use. `round-robin`: in turn. `weighted`: in proportion to their `weight`.
 */
export const BALANCES = ['least-loaded', 'round-robin', 'weighted'] as const;
export type Balance = (typeof BALANCES)[number];

/** Picks one of several transports that have room, the nearest first; there is at least one. */
export type Pick = (free: readonly GuardedTransport[]) => GuardedTransport;

export function pickBy(balance: Balance): Pick {
  if (balance === 'round-robin') return inTurn();
  return balance === 'weighted' ? byWeight() : leastLoaded;
}

/** What their servers say of themselves counts where all of them do. */
function leastLoaded(free: readonly GuardedTransport[]): GuardedTransport {
  const known = free.every(({ load }) => load?.load !== undefined);
  const loadOf = ({ window, load }: GuardedTransport): number => window.use + (known ? load!.load! : 0);
  return free.reduce((least, transport) => (loadOf(transport) < loadOf(least) ? transport : least));
}

/** The one that has been passed over for the longest time. */
function inTurn(): Pick {
  const served = new WeakMap<GuardedTransport, number>();
  let turn = 0;
  return (free) => {
    const turnOf = (transport: GuardedTransport): number => served.get(transport) ?? 0;
    const next = free.reduce((oldest, transport) => (turnOf(transport) < turnOf(oldest) ? transport : oldest));
    served.set(next, ++turn);
    return next;
  };
}

/** nginx's smooth weighted round robin: 5, 1 and 1 give a a b a c a a, not a a a a a b c. */
function byWeight(): Pick {
  const credits = new WeakMap<GuardedTransport, number>();
  const creditOf = (transport: GuardedTransport): number => credits.get(transport) ?? 0;
  return (free) => {
    let total = 0;
    for (const transport of free) {
      total += transport.weight;
      credits.set(transport, creditOf(transport) + transport.weight);
    }
    const next = free.reduce((most, transport) => (creditOf(transport) > creditOf(most) ? transport : most));
    credits.set(next, creditOf(next) - total);
    return next;
  };
}
