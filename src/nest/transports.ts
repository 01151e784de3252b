import type { MailEmitter } from '../events/emitter.js';
import { openCounter, type Counter } from '../store/counter.js';
import type { Store } from '../store/store.js';
import { ConnectionLeases } from '../transport/connection-leases.js';
import { GuardedTransport } from '../transport/guarded.js';
import { openProbe } from '../transport/probes/open.js';
import { JITTER, RateLimit, type RateLimitSettings } from '../transport/rate-limit.js';
import { SmtpTransport } from '../transport/smtp/transport.js';
import { Tenants } from '../transport/tenants.js';
import { parseTenant, type MailSettings, type TransportSettings } from './options/parse.js';
import type { SmtpSettings } from './options/smtp.js';

/** Makes the transports of one mailer, with what they share with other processes. */
export class TransportFactory {
  /**
   * @param mailer keeps the counters of several mailers on one store apart
   * @param store where processes share limits; without one each keeps to them on its own
   */
  constructor(
    private readonly mailer: string,
    private readonly store: Store | undefined,
    private readonly events: MailEmitter,
    private readonly onError: (error: Error) => void,
  ) {}

  create(settings: TransportSettings): GuardedTransport {
    if ('custom' in settings) return new GuardedTransport(settings.custom, this.events);
    const { smtp, rateLimit, probe, weight } = settings;
    const transport = new SmtpTransport(smtp, this.leases(settings));
    return new GuardedTransport(transport, this.events, {
      limit: rateLimit && this.rateLimit(smtp.name, rateLimit),
      probe: probe && openProbe(probe, transport),
      weight,
    });
  }

  tenants(resolve: MailSettings['resolveTransport']): Tenants | undefined {
    if (!resolve) return undefined;
    return new Tenants({
      resolve: async (name) => resolve(name),
      create: (name, config) => this.create(parseTenant(name, config)),
    });
  }

  private leases({ smtp, maxTotalConnections }: SmtpSettings): ConnectionLeases | undefined {
    if (maxTotalConnections === undefined) return undefined;
    // An embedded store has one process, which needs no store to count its own connections.
    const shared = this.store?.kind === 'embedded' ? undefined : this.store;
    const reserve = smtp.lanes.includes('priority') ? Math.min(smtp.minWarm, maxTotalConnections - 1) : 0;
    return new ConnectionLeases(smtp.name, maxTotalConnections, reserve, shared, this.onError);
  }

  private rateLimit(transport: string, settings: RateLimitSettings): RateLimit {
    const { messages, per, reserve } = settings;
    const counter = (lane: string, points: number): Counter | undefined =>
      this.store && openCounter(this.store, `${this.mailer}/${transport}/${lane}`, points, per * JITTER);
    const all = counter('all', messages);
    const bulk = reserve > 0 ? counter('bulk', messages - reserve) : undefined;
    const counters = { ...(all ? { all } : {}), ...(bulk ? { bulk } : {}) };
    return new RateLimit(transport, settings, counters, (error) =>
      this.onError(
        new Error(`The rate limit of ${transport} is kept by each process alone for now: ${error.message}`, {
          cause: error,
        }),
      ),
    );
  }
}
