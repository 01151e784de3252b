import type * as PromClient from 'prom-client';
import { MailConfigError } from '../../errors.js';
import type { TransportHealth } from '../mail-health.js';
import type { QueueHealth } from '../queue-health.js';

type Client = typeof PromClient;

/** What a mailer tells when it is scraped. */
export interface Reading {
  mailer: string;
  transports: readonly TransportHealth[];
  /** Undefined without a bulk lane. */
  queue: QueueHealth | undefined;
}

/** A mailer whose state is told when somebody scrapes. */
export interface Source {
  read(): Promise<Reading>;
}

/** Of the time that a send takes. Seconds. */
const SEND_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Of the time in the queue. Seconds. */
const QUEUE_BUCKETS = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400];
const SIZE_BUCKETS = [1, 5, 10, 25, 50, 100, 250, 500, 1_000];
const CIRCUITS = ['closed', 'half-open', 'open'] as const;

/** The metrics on one register, which mailers share that have the same prefix. */
export class Instruments {
  readonly messages;
  readonly sendDuration;
  readonly queueTime;
  readonly batchSize;
  readonly batchDuration;
  readonly campaigns;
  readonly feedback;
  readonly feedbackRefused;
  private readonly sources = new Set<Source>();
  private readonly names: string[] = [];
  private reading: Promise<Reading[]> | undefined;

  /** @throws MailConfigError the register has a metric of that name already */
  constructor(
    private readonly client: Client,
    private readonly register: PromClient.Registry,
    private readonly prefix: string,
    buckets: readonly number[] = SEND_BUCKETS,
  ) {
    this.messages = new client.Counter(
      this.named('messages_total', 'Messages by what became of them.', ['lane', 'transport', 'outcome']),
    );
    this.sendDuration = new client.Histogram({
      ...this.named('send_duration_seconds', 'From the begin of a delivery to the answer.', ['lane', 'transport']),
      buckets: [...buckets],
    });
    this.queueTime = new client.Histogram({
      ...this.named('queue_time_seconds', 'From queued, or due, to sent.', []),
      buckets: QUEUE_BUCKETS,
    });
    this.batchSize = new client.Histogram({
      ...this.named('batch_messages', 'Messages of a batch that is done.', []),
      buckets: SIZE_BUCKETS,
    });
    this.batchDuration = new client.Histogram({
      ...this.named('batch_duration_seconds', 'Of the last run of a batch that is done.', []),
      buckets: QUEUE_BUCKETS,
    });
    this.campaigns = new client.Counter(
      this.named('campaigns_total', 'Campaigns by what became of them.', ['outcome']),
    );
    this.feedback = new client.Counter(
      this.named('feedback_total', 'Reports of mails that were sent.', ['lane', 'source', 'type']),
    );
    this.feedbackRefused = new client.Counter(
      this.named('feedback_refused_total', 'Reports that were not believed, or came again.', ['source', 'reason']),
    );
    this.gaugeQueue();
    this.gaugeTransports();
  }

  join(source: Source): void {
    this.sources.add(source);
  }

  /** True when nobody is left: the metrics are off the register then. */
  leave(source: Source): boolean {
    this.sources.delete(source);
    if (this.sources.size > 0) return false;
    this.withdraw();
    return true;
  }

  private withdraw(): void {
    for (const name of this.names) this.register.removeSingleMetric(name);
  }

  private gaugeQueue(): void {
    this.gauge('queue_up', "The queue's store has answered.", [], ({ queue }, set) => {
      if (queue) set({}, Number(queue.reachable));
    });
    this.gauge('queue_paused', 'The whole queue is paused.', [], ({ queue }, set) => {
      if (queue?.reachable) set({}, Number(queue.paused));
    });
    this.gauge('queue_batches', 'Batches in the queue by what they are doing.', ['state'], ({ queue }, set) => {
      if (!queue?.reachable) return;
      const { waiting, delayed, active, setAside } = queue.batches;
      for (const [state, count] of Object.entries({ waiting, delayed, active, set_aside: setAside }))
        set({ state }, count);
    });
    this.gauge('queue_oldest_waiting_seconds', 'How long the oldest of them has waited.', [], ({ queue }, set) => {
      if (!queue?.reachable) return;
      const { oldestWaiting } = queue;
      set({}, oldestWaiting ? Math.max(0, Date.now() - oldestWaiting.getTime()) / 1_000 : 0);
    });
    this.gauge('queue_workers', 'Processes with a worker that are alive.', [], ({ queue }, set) => {
      if (queue?.reachable) set({}, queue.workers.alive);
    });
  }

  private gaugeTransports(): void {
    const each = (tell: (transport: TransportHealth, set: Tell) => void) => (reading: Reading, set: Tell) => {
      for (const transport of reading.transports) {
        tell(transport, (labels, value) => set({ transport: transport.name, ...labels }, value));
      }
    };
    const circuit = each((transport, set) => {
      for (const state of CIRCUITS) set({ state }, Number(transport.circuit === state));
    });
    this.gauge('transport_circuit', '1 for the state that its circuit is in.', ['transport', 'state'], circuit);
    const size = each(({ window }, set) => window && set({}, window.size));
    this.gauge('transport_window_messages', 'Bulk messages that this process gives it at once.', ['transport'], size);
    const inFlight = each(({ window }, set) => window && set({}, window.inFlight));
    this.gauge('transport_in_flight_messages', 'Bulk messages under way to it.', ['transport'], inFlight);
    const latency = each(({ latency }, set) => latency !== undefined && set({}, latency / 1_000));
    this.gauge('transport_round_trip_seconds', 'Moving average of its round trips.', ['transport'], latency);
  }

  private gauge(name: string, help: string, labels: string[], tell: (reading: Reading, set: Tell) => void): void {
    const read = (): Promise<Reading[]> => this.read();
    new this.client.Gauge({
      ...this.named(name, help, labels),
      async collect() {
        const readings = await read();
        // What is gone is not told any more.
        this.reset();
        for (const reading of readings) {
          tell(reading, (more, value) => this.set({ mailer: reading.mailer, ...more }, value));
        }
      },
    });
  }

  /** All gauges of a scrape ask at once: the first one's question is everybody's. */
  private read(): Promise<Reading[]> {
    this.reading ??= Promise.all([...this.sources].map((source) => source.read())).finally(
      () => (this.reading = undefined),
    );
    return this.reading;
  }

  private named<Label extends string>(name: string, help: string, labels: readonly Label[]) {
    const full = `${this.prefix}mail_${name}`;
    if (this.register.getSingleMetric(full)) {
      this.withdraw();
      throw new MailConfigError(
        `The register has a metric ${full} that is not this module's. Give metrics.prefix or metrics.register.`,
      );
    }
    this.names.push(full);
    const labelNames: ('mailer' | Label)[] = ['mailer', ...labels];
    return { name: full, help, labelNames, registers: [this.register] };
  }
}

type Tell = (labels: Record<string, string>, value: number) => void;
