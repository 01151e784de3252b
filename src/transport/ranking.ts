import type { GuardedTransport, Standing } from './guarded.js';

/** A transport in its place, and why it is there. */
export interface Ranked {
  transport: GuardedTransport;
  /** It is of this process's region. */
  near: boolean;
  /** Such as `same region (eu-west-1), 12.3 ms`. */
  reason: string;
}

/**
 * The nearest healthy one first: those of this region before all others, then by measured round trip, then as configured;
 * behind all of them those whose probe lets no bulk mail in, and then those whose circuit is not closed. Round trips that differ by less than a fifth and a millisecond are
 * taken as equal, or noise would decide.
 */
export function rank(transports: readonly GuardedTransport[], region: string | undefined): Ranked[] {
  const candidates = transports.map((transport, order) => {
    const { standing } = transport;
    const near = region !== undefined && transport.region === region;
    return { transport, order, standing, near, group: troubleOf(transport) + (near ? 0 : 1) };
  });
  const latency = ({ standing }: { standing: Standing }): number => standing.latency ?? Infinity;
  candidates.sort((a, b) => a.group - b.group || compare(latency(a), latency(b)) || a.order - b.order);
  for (let from = 0, to = 0; from < candidates.length; from = to) {
    const first = candidates[from]!;
    while (to < candidates.length && isAsNear(candidates[to]!, first)) to++;
    const equals = candidates.slice(from, to).sort((a, b) => a.order - b.order);
    candidates.splice(from, equals.length, ...equals);
  }
  return candidates.map(({ transport, near, standing }) => ({
    transport,
    near,
    reason: reasonOf(transport, standing, region),
  }));
}

/** What outweighs a region. */
function troubleOf({ circuit, admitsBulk }: GuardedTransport): number {
  if (circuit.state !== 'closed') return 4;
  return admitsBulk ? 0 : 2;
}

interface Candidate {
  group: number;
  standing: Standing;
}

function isAsNear(one: Candidate, first: Candidate): boolean {
  if (one === first) return true;
  const [a = Infinity, b = Infinity] = [one.standing.latency, first.standing.latency];
  return one.group === first.group && (a === b || a <= b * 1.2 + 1);
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

function reasonOf(transport: GuardedTransport, standing: Standing, region: string | undefined): string {
  const { circuit, latency, load } = standing;
  const parts: string[] = [];
  if (circuit.state !== 'closed') parts.push(`down (circuit ${circuit.state})`);
  else if (load && !transport.admitsBulk)
    parts.push(load.reason === undefined ? load.state : `${load.state} (${load.reason})`);
  if (region !== undefined && transport.region === region) parts.push(`same region (${region})`);
  else if (region !== undefined) parts.push(transport.region === undefined ? 'no region' : `in ${transport.region}`);
  parts.push(latency === undefined ? 'not measured yet' : `${latency.toFixed(1)} ms`);
  return parts.join(', ');
}
