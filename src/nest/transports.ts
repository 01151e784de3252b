import type { MailEmitter } from '../events/emitter.js';
import { openCounter, type Counter } from '../store/counter.js';
import type { Store } from '../store/store.js';
import { ForeignTransport } from '../transport/adapters/foreign.js';
import { ConnectionLeases } from '../transport/connection-leases.js';
import { GuardedTransport } from '../transport/guarded.js';
import { openProbe } from '../transport/probes/open.js';
import { ProviderLimit } from '../transport/provider-limit.js';
import { JITTER, RateLimit, type RateLimitSettings } from '../transport/rate-limit.js';
import { checkSes } from '../transport/ses/client.js';
import { SesTransport } from '../transport/ses/transport.js';
import { SmtpTransport } from '../transport/smtp/transport.js';
import { partsOf, type TransportSettings } from './options/parse.js';
import type { SesSettings } from './options/ses.js';
import type { SmtpSettings } from './options/smtp.js';

/** What the transports of one mailer have in common, some of it with other processes. */
export interface TransportContext {
  /** Keeps the counters of several mailers on one store apart. */
  mailer: string;
  /** Where processes share limits; without one each keeps to them on its own. */
  store: Store | undefined;
  events: MailEmitter;
  onError: (error: Error) => void;
  onWarning?: (warning: string) => void;
}

/** A transport with what stands around it. */
export function createTransport(settings: TransportSettings, context: TransportContext): GuardedTransport {
  if ('custom' in settings) return new GuardedTransport(settings.custom, context.events, { lent: settings.lent });
  if ('ses' in settings) return createSes(settings, context);
  const { rateLimit, weight } = settings;
  const guards = { weight, limit: rateLimit && limitOf(partsOf(settings).name, rateLimit, context) };
  if ('foreign' in settings) {
    const probe = settings.probe && openProbe(settings.probe);
    return new GuardedTransport(new ForeignTransport(settings.foreign, settings.carrier), context.events, {
      ...guards,
      probe,
    });
  }
  const transport = new SmtpTransport(settings.smtp, leasesOf(settings, context));
  const probe = settings.probe && openProbe(settings.probe, transport);
  return new GuardedTransport(transport, context.events, { ...guards, probe });
}

/** What is wrong with a configuration, and shows only when it is used. @throws MailConfigError */
export async function checkTransports(transports: readonly TransportSettings[]): Promise<void> {
  for (const settings of transports) if ('ses' in settings) await checkSes(settings.ses);
}

function createSes({ ses, rateLimit, probe, weight }: SesSettings, context: TransportContext): GuardedTransport {
  const reserves = ses.lanes.includes('priority');
  const followed = ses.followsRate
    ? new ProviderLimit((rate) => limitOf(ses.name, rate, context), reserves)
    : undefined;
  return new GuardedTransport(new SesTransport(ses, context.onWarning), context.events, {
    limit: rateLimit ? limitOf(ses.name, rateLimit, context) : followed,
    probe: probe && openProbe(probe),
    weight,
  });
}

function leasesOf(
  { smtp, maxTotalConnections }: SmtpSettings,
  { store, onError }: TransportContext,
): ConnectionLeases | undefined {
  if (maxTotalConnections === undefined) return undefined;
  // An embedded store has one process, which needs no store to count its own connections.
  const shared = store?.kind === 'embedded' ? undefined : store;
  const reserve = smtp.lanes.includes('priority') ? Math.min(smtp.minWarm, maxTotalConnections - 1) : 0;
  return new ConnectionLeases(smtp.name, maxTotalConnections, reserve, shared, onError);
}

function limitOf(
  transport: string,
  settings: RateLimitSettings,
  { mailer, store, onError }: TransportContext,
): RateLimit {
  const { messages, per, reserve } = settings;
  const counter = (lane: string, points: number): Counter | undefined =>
    store && openCounter(store, `${mailer}/${transport}/${lane}`, points, per * JITTER);
  const all = counter('all', messages);
  const bulk = reserve > 0 ? counter('bulk', messages - reserve) : undefined;
  const counters = { ...(all ? { all } : {}), ...(bulk ? { bulk } : {}) };
  return new RateLimit(transport, settings, counters, (error) =>
    onError(
      new Error(`The rate limit of ${transport} is kept by each process alone for now: ${error.message}`, {
        cause: error,
      }),
    ),
  );
}
