import type * as PromClient from 'prom-client';
import type { MailEmitter } from '../../events/emitter.js';
import type { MailQueue } from '../../queue/mail-queue.js';
import type { Routes } from '../../transport/route.js';
import { loadPeer } from '../../peer.js';
import { transportHealth } from '../mail-health.js';
import type { MetricsSettings } from '../options/metrics.js';
import { queueHealth } from '../queue-health.js';
import { Instruments, type Reading, type Source } from './instruments.js';

type Client = typeof PromClient;

/** What is measured. */
export interface Measured {
  /** Its name, or `default`. */
  mailer: string;
  events: MailEmitter;
  routes: Routes;
  queue: MailQueue | undefined;
}

/** By register and prefix: two mailers, or two applications, may count on the same one. */
const shared = new WeakMap<PromClient.Registry, Map<string, Instruments>>();

/** A transport that `resolveTransport` gave: there may be any number of them. */
const RESOLVED = 'resolved';

/** One mailer's metrics for Prometheus, from its events and from what it says when somebody scrapes. */
export class MailMetrics implements Source {
  private instruments: Instruments | undefined;
  private readonly stops: (() => void)[] = [];
  private readonly known: ReadonlySet<string>;

  private constructor(
    private readonly client: Client,
    private readonly settings: MetricsSettings,
    private readonly measured: Measured,
  ) {
    this.known = new Set(measured.routes.transports.map(({ name }) => name));
  }

  /** @throws MailConfigError when prom-client is not installed */
  static async open(settings: MetricsSettings, measured: Measured): Promise<MailMetrics> {
    const client = await loadPeer('prom-client', () => import('prom-client'), 'The mail option metrics');
    return new MailMetrics(client, settings, measured);
  }

  /** @throws MailConfigError the register has a metric of the same name */
  start(): void {
    const { prefix, buckets } = this.settings;
    const prefixes = shared.get(this.register) ?? new Map<string, Instruments>();
    const instruments = prefixes.get(prefix) ?? new Instruments(this.client, this.register, prefix, buckets);
    shared.set(this.register, prefixes.set(prefix, instruments));
    this.instruments = instruments;
    instruments.join(this);
    this.count(instruments);
  }

  /** Counts no more. The last mailer takes the metrics off the register. */
  close(): void {
    for (const stop of this.stops.splice(0)) stop();
    if (this.instruments?.leave(this)) shared.get(this.register)?.delete(this.settings.prefix);
    this.instruments = undefined;
  }

  async read(): Promise<Reading> {
    const { mailer, routes, queue } = this.measured;
    return { mailer, transports: transportHealth(routes), queue: queue && (await queueHealth(queue)) };
  }

  private count(instruments: Instruments): void {
    const { messages, sendDuration, queueTime, batchSize, batchDuration, campaigns } = instruments;
    const { feedback, feedbackRefused } = instruments;
    const { mailer, events, queue } = this.measured;
    const message = (outcome: string, lane: string, transport?: string, count = 1): void =>
      messages.inc({ mailer, lane, transport: this.label(transport), outcome }, count);
    this.stops.push(
      // No event tells of each message of a campaign, nor of one whose queueing was interrupted.
      ...(queue ? [queue.observeQueued((count) => message('queued', 'bulk', undefined, count))] : []),
      events.observe('sent', ({ lane, transport, duration, queuedFor }) => {
        message('sent', lane, transport);
        sendDuration.observe({ mailer, lane, transport: this.label(transport) }, duration / 1_000);
        if (queuedFor !== undefined) queueTime.observe({ mailer }, queuedFor / 1_000);
      }),
      events.observe('deferred', ({ lane, transport }) => message('deferred', lane, transport)),
      events.observe('failed', ({ lane, transport }) => message('failed', lane, transport)),
      events.observe('cancelled', ({ lane }) => message('cancelled', lane)),
      events.observe('expired', ({ lane }) => message('expired', lane)),
      events.observe('batch-completed', ({ size, duration }) => {
        batchSize.observe({ mailer }, size);
        batchDuration.observe({ mailer }, duration / 1_000);
      }),
      events.observe('campaign-completed', () => campaigns.inc({ mailer, outcome: 'completed' })),
      events.observe('campaign-suspended', () => campaigns.inc({ mailer, outcome: 'suspended' })),
      events.observe('feedback', ({ lane = '', source, type }) => feedback.inc({ mailer, lane, source, type })),
      events.observe('feedback-refused', ({ source, reason }) => feedbackRefused.inc({ mailer, source, reason })),
    );
  }

  private label(transport = ''): string {
    return transport === '' || this.known.has(transport) ? transport : RESOLVED;
  }

  private get register(): PromClient.Registry {
    return (this.settings.register as PromClient.Registry | undefined) ?? this.client.register;
  }
}
