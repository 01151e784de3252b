import { randomBytes } from 'node:crypto';
import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import type { Fields } from '../store/records.js';

/** What a run can be limited by. */
export const LIMITS = ['store', 'cpu', 'connections', 'rate limit', 'provider'] as const;
/**
 * `cpu`: this process computes all the time. `connections`: all are in use, and wait for the provider's answers. `rate limit`:
 * the transport's own. `provider`: it is down, or takes less than the connections could carry. `store`: none of these; the
 * queue's store is waited for, to record what was sent or for the next batch.
 */
export type BoundBy = (typeof LIMITS)[number];

/** What can be seen of a worker at a moment. */
export interface Gauges {
  /** A message waits for its rate limit. */
  rateLimited(): boolean;
  /** Nothing is begun because checkpoints are slow. */
  storeHolds(): boolean;
  /** As many messages are under way as the connections take. */
  connectionsBusy(): boolean;
  /** Messages wait for a transport to have room. */
  roomAwaited(): boolean;
}

/** Milliseconds between two looks. */
const LOOK_EVERY = 50;
/** An event loop that is busy for this share of the time has none left. */
const BUSY = 0.85;
/** Campaigns that are remembered; more only while they are under way. */
const KEPT = 100;

/** What is known of one campaign. */
interface Watched {
  /** Of its record: what another process wrote, or this one before it forgot the campaign, stays. */
  readonly field: string;
  /** Batches under way. */
  batches: number;
  /** Its batches wait until then. */
  heldUntil: number;
  readonly waited: Record<BoundBy, number>;
}

/** Looks at a worker while it delivers campaigns, and keeps for each what it was waiting for. */
export class Bottleneck {
  private readonly campaigns = new Map<string, Watched>();
  /** Batches of all campaigns. */
  private batches = 0;
  private timer: NodeJS.Timeout | undefined;
  private lastLook: EventLoopUtilization = performance.eventLoopUtilization();

  constructor(private readonly gauges: Gauges) {}

  /** A batch of the campaign begins. */
  begin(id: string): void {
    this.watched(id).batches++;
    if (this.batches++ > 0) return;
    this.lastLook = performance.eventLoopUtilization();
    this.timer = setInterval(() => this.look(), LOOK_EVERY);
    this.timer.unref();
  }

  /** A batch of the campaign has ended. Returns what is known by now, as a field of the campaign's own record of it. */
  end(id: string): Fields {
    // A run that is shorter than the interval is looked at once.
    if (this.batches === 1) this.look();
    const campaign = this.watched(id);
    campaign.batches--;
    if (--this.batches === 0) clearInterval(this.timer);
    return { [campaign.field]: LIMITS.map((limit) => Math.round(campaign.waited[limit])).join(' ') };
  }

  /** A batch of the campaign waits until then, and why. Of several that wait at the same time, one counts. */
  held(id: string, limit: BoundBy, until: number): void {
    const campaign = this.watched(id);
    const from = Math.max(Date.now(), campaign.heldUntil);
    if (until <= from) return;
    campaign.waited[limit] += until - from;
    campaign.heldUntil = until;
  }

  private look(): void {
    const now = performance.eventLoopUtilization();
    const { utilization, active, idle } = performance.eventLoopUtilization(now, this.lastLook);
    this.lastLook = now;
    const limit = this.limit(utilization);
    for (const { batches, waited } of this.campaigns.values()) if (batches > 0) waited[limit] += active + idle;
  }

  private limit(utilization: number): BoundBy {
    const { gauges } = this;
    if (gauges.rateLimited()) return 'rate limit';
    if (gauges.storeHolds()) return 'store';
    if (utilization >= BUSY) return 'cpu';
    if (gauges.connectionsBusy()) return 'connections';
    // There are connections, and the provider is given less than they could carry.
    return gauges.roomAwaited() ? 'provider' : 'store';
  }

  private watched(id: string): Watched {
    const known = this.campaigns.get(id);
    if (known) return known;
    this.forgetOne();
    const waited = { store: 0, cpu: 0, connections: 0, 'rate limit': 0, provider: 0 };
    const campaign = { field: randomBytes(6).toString('base64url'), batches: 0, heldUntil: 0, waited };
    this.campaigns.set(id, campaign);
    return campaign;
  }

  /** What a process knew of a campaign long ago lies in the store. */
  private forgetOne(): void {
    if (this.campaigns.size < KEPT) return;
    for (const [id, { batches }] of this.campaigns) {
      if (batches === 0) return void this.campaigns.delete(id);
    }
  }
}

/** What limited a campaign for most of the time, over all processes; undefined when nobody has looked yet. */
export function boundBy(fields: Fields = {}): BoundBy | undefined {
  const sums = LIMITS.map(() => 0);
  for (const value of Object.values(fields)) {
    for (const [index, milliseconds] of value.split(' ').entries()) sums[index]! += Number(milliseconds);
  }
  const most = Math.max(...sums);
  return most > 0 ? LIMITS[sums.indexOf(most)] : undefined;
}
