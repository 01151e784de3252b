import type { Lane } from '../message/message.js';
import { partsOf, type TransportSettings } from '../nest/options/parse.js';
import type { TransportContext } from '../nest/transports.js';
import { GuardedTransport } from '../transport/guarded.js';
import type { Acceptance, Outgoing, SendOptions, Transport } from '../transport/transport.js';
import { CongestionWindow } from '../transport/window.js';
import type { Outbox } from './outbox.js';

/** With its circuit breaker, and without what would make a test wait: a rate limit, a probe, and pauses after a refusal. */
export function memoryTransport(
  settings: TransportSettings,
  { events }: TransportContext,
  outbox: Outbox,
): GuardedTransport {
  const transport = new MemoryTransport(settings, outbox);
  return new GuardedTransport(transport, events, { window: new CalmWindow(transport.maxConnections) });
}

/** Always as large as it can be. */
class CalmWindow extends CongestionWindow {
  override refused(): void {
    // No server of a test needs to be spared.
  }
}

/** Stands where a configured transport would: its name, region and lanes, and no server. */
class MemoryTransport implements Transport {
  readonly name: string;
  readonly region?: string;
  readonly lanes: readonly Lane[];
  readonly maxConnections: number;
  readonly weight: number;

  constructor(
    settings: TransportSettings,
    private readonly outbox: Outbox,
  ) {
    const { name, region, lanes, maxConnections } = partsOf(settings);
    this.name = name;
    if (region !== undefined) this.region = region;
    this.lanes = lanes;
    this.maxConnections = maxConnections;
    outbox.users.add(this);
    this.weight = ('custom' in settings ? settings.custom.weight : settings.weight) ?? 1;
  }

  // Async, so that what the outbox throws is a rejection.
  async send(outgoing: Outgoing, { lane }: SendOptions): Promise<Acceptance> {
    return this.outbox.take(this.name, outgoing, lane);
  }

  verify(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.outbox.users.delete(this);
    return Promise.resolve();
  }
}
