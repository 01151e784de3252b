import { MailValidationError } from '../errors.js';
import type { Lane } from '../message/message.js';
import type { Transport } from './transport.js';

/** The transports a message may take, in the order in which they are tried. */
export class Routes {
  private readonly byLane: Record<Lane, readonly Transport[]>;
  private readonly byName: ReadonlyMap<string, Transport>;

  /** @param region where this process runs: transports of the same region come first, then the configured order */
  constructor(
    readonly transports: readonly Transport[],
    region: string | undefined,
  ) {
    this.byName = new Map(transports.map((transport) => [transport.name, transport]));
    const near = (transport: Transport): number => (region !== undefined && transport.region === region ? 0 : 1);
    const ranked = [...transports].sort((a, b) => near(a) - near(b));
    this.byLane = {
      priority: ranked.filter((transport) => transport.lanes.includes('priority')),
      bulk: ranked.filter((transport) => transport.lanes.includes('bulk')),
    };
  }

  /** @throws MailValidationError when `forced` names no transport */
  for(lane: Lane, forced?: string): readonly Transport[] {
    if (forced === undefined) return this.byLane[lane];
    const transport = this.byName.get(forced);
    if (transport) return [transport];
    const known = [...this.byName.keys()].join(', ');
    throw new MailValidationError([
      { path: 'transport', message: `${JSON.stringify(forced)} is not configured; known are ${known}` },
    ]);
  }

  /** Messages of the bulk lane that this process sends at once. */
  get bulkConnections(): number {
    return this.byLane.bulk.reduce((sum, transport) => sum + transport.maxConnections, 0);
  }

  async close(within: number): Promise<void> {
    await Promise.all(this.transports.map((transport) => transport.close(within)));
  }
}
