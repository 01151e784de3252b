import type { Logger } from '@nestjs/common';
import type { Interception } from '../delivery/interception.js';
import { Interceptors } from '../delivery/interceptors.js';
import { Preparation } from '../delivery/preparation.js';
import { reasonOf } from '../errors.js';
import type { SuppressionList } from '../feedback/suppression.js';
import { MailEmitter } from '../events/emitter.js';
import { NO_TRACER, type Tracer } from '../events/tracer.js';
import type { MailQueue } from '../queue/mail-queue.js';
import { Once } from '../queue/once.js';
import { Statistics } from '../queue/statistics.js';
import { UNSEALED } from '../store/sealing.js';
import { Routes } from '../transport/route.js';
import { Tenants } from '../transport/tenants.js';
import { MailRenderer } from './mail-renderer.js';
import type { Mailables } from './mailables.js';
import { Collector } from './collector.js';
import { MailMetrics } from './metrics/mail-metrics.js';
import { parseTenant, type MailSettings } from './options/parse.js';
import type { MailParts } from './parts.js';
import { openTracer } from './tracing.js';

/** The same trouble is logged once in this long. */
const LOG_EVERY = 10_000;

/** One mailer's parts, made from its options. */
export interface Mailer {
  readonly settings: MailSettings;
  readonly events: MailEmitter;
  readonly routes: Routes;
  /** Undefined with `queue: false`. */
  readonly queue: MailQueue | undefined;
  readonly once: Once;
  readonly statistics: Statistics;
  readonly renderer: MailRenderer;
  readonly preparation: Preparation;
  /** Undefined with `queue: false`, unless the application has one of its own. */
  readonly suppressions: SuppressionList | undefined;
  readonly collector: Collector;
  readonly tracer: Tracer;
  readonly metrics: MailMetrics | undefined;
  /** Takes what nobody waits for; the same is told once in a while. */
  readonly onError: (error: Error) => void;
}

/**
 * Makes the parts; nothing is connected yet.
 *
 * @param name of the mailer, or `default`, which tells several of an application apart
 * @throws MailConfigError
 */
export async function createMailer(
  settings: MailSettings,
  name: string,
  logger: Logger,
  parts: MailParts,
  mailables: Mailables,
): Promise<Mailer> {
  const onError = seldom((message) => logger.error(message));
  const events = new MailEmitter(name, (event, reason) =>
    onError(new Error(`A listener of the mail event ${event} failed: ${reasonOf(reason)}`, { cause: reason })),
  );
  tellWhatFails(events, logger);
  if (settings.templates?.preload) await settings.templates.engine.preload?.();
  await parts.checkTransports?.(settings.transports);
  const onWarning = (warning: string): void => logger.warn(warning);
  const opened = settings.queue ? await parts.openQueue(settings.queue, { onError, onWarning }) : undefined;
  const store = opened?.store;
  const context = { mailer: name, store, events, onError, onWarning };
  const transports = settings.transports.map((transport) => parts.createTransport(transport, context));
  const { resolveTransport: resolve } = settings;
  const tenants =
    resolve &&
    new Tenants({
      resolve: async (name) => resolve(name),
      create: (name, config) => parts.createTransport(parseTenant(name, config), context),
    });
  const tracer = settings.tracing ? await openTracer(settings.tracing) : NO_TRACER;
  const routes = new Routes(transports, settings.region, tenants, settings.balance);
  const renderer = new MailRenderer(mailables, settings.templates?.engine);
  const interception = interceptionOf(settings);
  const preparation = new Preparation(renderer, settings.rules, interception, settings.unsubscribe?.links);
  const queue = opened?.create(routes, events, preparation, tracer);
  if (store?.kind === 'embedded' && process.env['NODE_ENV'] === 'production') {
    logger.warn(
      'The mail queue is embedded in this process. That serves one machine; for several, set queue.connection to Redis or PostgreSQL.',
    );
  }
  const sealer = settings.queue ? settings.queue.sealer : UNSEALED;
  const metrics =
    settings.metrics && (await MailMetrics.open(settings.metrics, { mailer: name, events, routes, queue }));
  const once = new Once(store, settings.idempotencyTtl, onError, sealer);
  const statistics = queue?.statistics ?? new Statistics(undefined, onError);
  const collector = new Collector(name, settings, queue, once, events, onError);
  const suppressions = queue?.suppressions ?? settings.suppression.list;
  const lanes = { routes, queue, once, collector, suppressions };
  return { settings, events, ...lanes, statistics, renderer, preparation, tracer, metrics, onError };
}

function interceptionOf({ intercept, rules }: MailSettings): Interception | undefined {
  return intercept.length === 0 ? undefined : new Interceptors(intercept, rules);
}

/** Failover hides a dead provider; whoever reads the log should know. */
function tellWhatFails(events: MailEmitter, logger: Logger): void {
  events.on('transport-down', ({ transport, reason }) => {
    logger.warn(`The mail transport ${transport} is down, and tried last: ${reason}`);
  });
  events.on('transport-up', ({ transport, downFor }) => {
    logger.log(`The mail transport ${transport} works again, after ${Math.round(downFor / 1_000)} s`);
  });
  events.on('collection-discarded', ({ messages, reason }) => {
    logger.debug(`${messages} collected messages are discarded, since what sent them has failed: ${reason}`);
  });
  events.on('campaign-suspended', ({ campaignId, remaining, error }) => {
    logger.warn(
      `The campaign ${campaignId} is suspended, with ${remaining} recipients to serve, until resume('${campaignId}'): ${error}`,
    );
  });
}

/** Passes on a message unless the same was passed on a moment ago: a store that is away fails many times a second. */
function seldom(log: (message: string) => void): (error: Error) => void {
  const last = new Map<string, number>();
  return (error) => {
    const message = error.message || String((error as { code?: string }).code ?? error.name);
    const now = Date.now();
    if (now - (last.get(message) ?? 0) < LOG_EVERY) return;
    if (last.size > 100) last.clear();
    last.set(message, now);
    log(message);
  };
}
