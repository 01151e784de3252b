import { randomBytes } from 'node:crypto';
import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import type { Fields } from '../store/records.js';

/** What a run can be limited by. */
export const LIMITS = ['store', 'cpu', 'connections', 'rate limit', 'provider'] as const;
/**
 * `cpu`: this process computes all the time. `connections`: all are in use, and wait for the provider's answers. `rate limit`:
 * the transport's own. `provider`: it is down, or takes nothing for now. `store`: none of these; the queue's store is
 * waited for, to record what was sent or for the next batch.
 */
export type Limit = (typeof LIMITS)[number];

/** What can be seen of a worker at a moment. */
export interface Gauges {
  /** A message waits for its rate limit. */
  rateLimited(): boolean;
  /** Nothing is begun because checkpoints are slow. */
  storeHolds(): boolean;
  /** As many messages are under way as the connections take. */
  connectionsBusy(): boolean;
}

/** Milliseconds between two looks. */
const LOOK_EVERY = 50;
/** An event loop that is busy for this share of the time has none left. */
const BUSY = 0.85;

type Tally = Record<Limit, number> & { field: string };

/** Looks at a worker while it delivers campaigns, and keeps for each what it was waiting for. */
export class Bottleneck {
  /** Batches under way, by campaign. */
  private readonly active = new Map<string, number>();
  private readonly tallies = new Map<string, Tally>();
  private readonly heldUntil = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private lastLook: EventLoopUtilization = performance.eventLoopUtilization();

  constructor(private readonly gauges: Gauges) {}

  /** A batch of the campaign begins. */
  begin(campaign: string): void {
    this.active.set(campaign, (this.active.get(campaign) ?? 0) + 1);
    if (this.timer) return;
    this.lastLook = performance.eventLoopUtilization();
    this.timer = setInterval(() => this.look(), LOOK_EVERY);
    this.timer.unref();
  }

  /** A batch of the campaign has ended. Returns what is known by now, as a field of the campaign's own record of it. */
  end(campaign: string): Fields {
    const left = (this.active.get(campaign) ?? 1) - 1;
    if (left > 0) this.active.set(campaign, left);
    else this.active.delete(campaign);
    if (this.active.size === 0) {
      // A run that is shorter than the interval is looked at once.
      this.look(campaign);
      clearInterval(this.timer);
      this.timer = undefined;
    }
    const tally = this.tallyOf(campaign);
    return { [tally.field]: write(tally) };
  }

  /** A batch of the campaign waits until then, and why. Of several that wait at the same time, one counts. */
  held(campaign: string, limit: Limit, until: number): void {
    const from = Math.max(Date.now(), this.heldUntil.get(campaign) ?? 0);
    if (until <= from) return;
    this.tallyOf(campaign)[limit] += until - from;
    this.heldUntil.set(campaign, until);
  }

  private look(alone?: string): void {
    const now = performance.eventLoopUtilization();
    const { utilization, active, idle } = performance.eventLoopUtilization(now, this.lastLook);
    this.lastLook = now;
    const limit = this.limit(utilization);
    for (const campaign of alone === undefined ? this.active.keys() : [alone]) {
      this.tallyOf(campaign)[limit] += active + idle;
    }
  }

  private limit(utilization: number): Limit {
    const { gauges } = this;
    if (gauges.rateLimited()) return 'rate limit';
    if (gauges.storeHolds()) return 'store';
    if (utilization >= BUSY) return 'cpu';
    return gauges.connectionsBusy() ? 'connections' : 'store';
  }

  private tallyOf(campaign: string): Tally {
    let tally = this.tallies.get(campaign);
    if (!tally) {
      // A field of its own: what another process wrote, or this one before it forgot the campaign, stays.
      const field = randomBytes(6).toString('base64url');
      tally = { field, store: 0, cpu: 0, connections: 0, 'rate limit': 0, provider: 0 };
      this.tallies.set(campaign, tally);
      this.forgetOne();
    }
    return tally;
  }

  /** What a process kept for a campaign long ago lies in the store. */
  private forgetOne(): void {
    if (this.tallies.size <= 100) return;
    for (const campaign of this.tallies.keys()) {
      if (this.active.has(campaign)) continue;
      this.tallies.delete(campaign);
      this.heldUntil.delete(campaign);
      return;
    }
  }
}

/** What limited a campaign for most of the time, over all processes; undefined when nobody has looked yet. */
export function boundBy(fields: Fields = {}): Limit | undefined {
  const sums = LIMITS.map(() => 0);
  for (const value of Object.values(fields)) {
    for (const [index, milliseconds] of value.split(' ').entries()) sums[index]! += Number(milliseconds);
  }
  const most = Math.max(...sums);
  return most > 0 ? LIMITS[sums.indexOf(most)] : undefined;
}

function write(tally: Tally): string {
  return LIMITS.map((limit) => Math.round(tally[limit])).join(' ');
}
