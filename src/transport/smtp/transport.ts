import type { Lane } from '../../message/message.js';
import type { Acceptance, Outgoing, SendOptions, Transport } from '../transport.js';
import type { SmtpTransportOptions } from './options.js';
import { SmtpPool } from './pool.js';
import { SmtpSession } from './session.js';

/** An SMTP provider. Each lane has connections of its own, so that bulk cannot stand in front of priority. */
export class SmtpTransport implements Transport {
  readonly name: string;
  readonly region?: string;
  readonly lanes: readonly Lane[];
  readonly maxConnections: number;
  private readonly pools: Record<Lane, SmtpPool>;

  constructor(private readonly options: SmtpTransportOptions) {
    this.name = options.name;
    if (options.region !== undefined) this.region = options.region;
    this.lanes = options.lanes;
    this.maxConnections = options.maxConnections;
    this.pools = { priority: new SmtpPool(options), bulk: new SmtpPool(options) };
  }

  send(outgoing: Outgoing, { lane, signal }: SendOptions): Promise<Acceptance> {
    return this.pools[lane].send(outgoing, signal);
  }

  async verify(signal: AbortSignal): Promise<void> {
    const session = await SmtpSession.open(this.options, signal);
    session.quit();
  }

  async close(within: number): Promise<void> {
    await Promise.all([this.pools.priority.close(within), this.pools.bulk.close(within)]);
  }
}
