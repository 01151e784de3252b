import { setTimeout as sleep } from 'node:timers/promises';
import { MailConfigError, MailError } from '../errors.js';
import { AttachmentSweep } from '../attachments/attachment-sweep.js';
import { Attachments } from '../attachments/attachments.js';
import type { AttachmentStore } from '../attachments/attachment-store.js';
import type { AttachmentTarget } from '../attachments/target.js';
import type { Preparation } from '../delivery/preparation.js';
import type { RetryPolicy } from '../delivery/retry.js';
import type { MailEmitter } from '../events/emitter.js';
import type { Tracer } from '../events/tracer.js';
import { RecordedSuppressions } from '../feedback/recorded-suppressions.js';
import type { SuppressionList, SuppressionSettings } from '../feedback/suppression.js';
import type { Feedback } from '../feedback/feedback.js';
import type { ReturnPaths } from '../feedback/return-path.js';
import type { Limits } from '../message/limits.js';
import type { BulkMailInput } from '../message/message.js';
import type { ParsedBulk } from '../message/parse.js';
import type { Sealer } from '../store/sealing.js';
import type { Store } from '../store/store.js';
import type { StoreTarget } from '../store/target.js';
import type { Routes } from '../transport/route.js';
import { answered } from './answered.js';
import type { Backend, BullQueue } from './backend.js';
import { BatchFormat } from './batch-format.js';
import type { Queueable } from './batch.js';
import { Blobs } from './blobs.js';
import { CampaignProducer } from './campaign-producer.js';
import { Completions } from './completions.js';
import type { CampaignReceipt } from './queueing.js';
import { Control } from './control.js';
import { isAnythingDue } from './due.js';
import { EventLoopShare } from './event-loop-share.js';
import { EventBus } from './event-bus.js';
import { FeedbackIntake, type FeedbackReceipt, type FeedbackSettings } from './feedback/intake.js';
import { MailLookup } from './feedback/known-mail.js';
import { MailReports, type MailReading } from './feedback/mail-reports.js';
import { rememberProviderId } from './feedback/provider-ids.js';
import { Flusher } from './flush.js';
import { keys } from './keys.js';
import type { BatchLimits } from './packer.js';
import { Presence } from './presence.js';
import { priorityFields, type PriorityMail, type PriorityResult } from './priority-record.js';
import type { Gathering } from './gathering.js';
import type { OwnBatch } from './packing.js';
import { Producer, type QueuedReceipt } from './producer.js';
import { Reader } from './reader.js';
import { Checkpoints } from './store-ledger.js';
import { RECORD_KEPT_FOR, Retention, type Keep } from './retention.js';
import { Run, type RunReport } from './run.js';
import { NOTHING_DONE, type Shift } from './shift.js';
import { Statistics, type MailStats, type StatsRange } from './statistics.js';
import { Supplier } from './supplies.js';
import { QueueSuppressions } from './queue-suppressions.js';
import { SuppressionGate } from './suppression-gate.js';
import { Suspension } from './suspension.js';
import { Sweep } from './sweep.js';
import { QueueTraces } from './traces.js';
import { BatchWorker } from './worker.js';

/** The bulk lane's settings, checked. Times are milliseconds. */
export interface MailQueueSettings {
  /** The BullMQ queue: `mail`, or `mail-<name>`. */
  name: string;
  target: StoreTarget;
  batch: BatchLimits & { maxDuration: number };
  /** Without `autorun` it works only while `runUntil()` does. */
  worker: { autorun: boolean; batches: number; lockDuration: number };
  retry: RetryPolicy;
  /** How long a campaign's batch waits for transports that have room, before the campaign is suspended. */
  waitForCapacity: number;
  keep: Keep;
  limits: Limits;
  suppression: SuppressionSettings;
  /** Of what is stored of messages. */
  sealer: Sealer;
  attachments: AttachmentSettings;
  feedback: FeedbackSettings;
  /** What mails' envelope senders are, and bounces are told by. Undefined: the address in From. */
  returnPaths?: ReturnPaths;
  /** How long another process may take to let go of an embedded store. */
  lockTimeout: number;
}

/** Where attachments of queued mail lie. */
export interface AttachmentSettings {
  /** Undefined where it has to be named, and is not. */
  target: AttachmentTarget | undefined;
  /** How long one stays after its last need, in milliseconds. */
  expireAfter: number;
  /** The id of a queue whose store was lost, and whose place this one takes. */
  adopt?: string;
}

/** When a run ends before its time is over. */
export interface RunOptions {
  empty: boolean;
  /** `within` are the milliseconds that what is in flight has to be finished. */
  abort?: { signal: AbortSignal; within: number };
}

/** What the bulk lane stands on. */
export interface QueueGround {
  store: Store;
  backend: Backend;
  /** Undefined where none is named: nothing with an attachment can be queued. */
  attachments?: AttachmentStore | undefined;
  /** By which scheduled mail and next attempts are due. Default `Date.now`. */
  now?: () => number;
}

/** At shutdown, for the looks at campaigns that may be complete. Milliseconds. */
const LAST_LOOK = 500;

/** The bulk lane: everything that happens between `queued` and the transports. */
export class MailQueue {
  readonly reader: Reader;
  readonly control: Control;
  readonly statistics: Statistics;
  /** Who gets no more mail: the application's own list, or the one on this store. */
  readonly suppressions: SuppressionList;
  readonly feedback: FeedbackIntake;
  private readonly mailReports: MailReports;
  private readonly format: BatchFormat;
  private readonly attachments: Attachments;
  private readonly blobs: Blobs;
  private readonly recorded: RecordedSuppressions;
  private readonly flusher: Flusher;
  private readonly producer: Producer;
  private readonly campaigns: CampaignProducer;
  private readonly checkpoints: Checkpoints;
  private readonly suspension: Suspension;
  private readonly completions: Completions;
  /** Undefined where no other process can be at the queue. */
  private readonly bus: EventBus | undefined;
  private readonly loop = new EventLoopShare();
  private readonly traces: QueueTraces;
  private readonly worker: BatchWorker | undefined;
  /** Tells all processes on the queue that this one has a worker. */
  readonly presence: Presence;
  private run: Run | undefined;
  private stopping = false;
  private readonly retention: Retention;
  private readonly sweep: Sweep;

  private readonly store: Store;
  private readonly backend: Backend;
  private readonly now: () => number;

  /** @param ground its store is closed with the queue */
  constructor(
    private readonly settings: MailQueueSettings,
    { store, backend, attachments: attachmentStore, now = Date.now }: QueueGround,
    private readonly routes: Routes,
    private readonly events: MailEmitter,
    private readonly preparation: Preparation,
    private readonly onError: (error: Error) => void,
    tracer?: Tracer,
  ) {
    this.traces = new QueueTraces(settings.name, tracer);
    this.store = store;
    this.backend = backend;
    this.now = now;
    const { records } = store;
    const { queue } = backend;
    const { expireAfter, adopt } = settings.attachments;
    const leased = {
      expireAfter,
      neededFor: settings.retry.maxAge + settings.keep.failed,
      ...(adopt ? { adopt } : {}),
    };
    this.attachments = new Attachments(attachmentStore, records, settings.sealer, leased, onError);
    this.blobs = new Blobs(this.attachments);
    // What is in memory anyway need not go anywhere else.
    this.format = new BatchFormat(settings.sealer, store.kind === 'memory' ? undefined : this.attachments);
    this.recorded = new RecordedSuppressions(records, settings.sealer);
    this.suppressions = settings.suppression.list ?? new QueueSuppressions(this, this.recorded);
    this.statistics = new Statistics(store, onError);
    const { attachments } = this;
    this.flusher = new Flusher(settings.name, store, backend, this.format, attachments, this.statistics, this.traces);
    this.reader = new Reader(backend, records, this.format, settings.sealer);
    this.retention = new Retention(queue, records, this.reader, settings.keep);
    this.producer = new Producer(this.flusher, this.blobs, settings.batch, events);
    const campaignOptions = { ...settings.batch, limits: settings.limits, loop: this.loop };
    const { flusher, format, blobs } = this;
    this.campaigns = new CampaignProducer(flusher, backend, records, format, blobs, campaignOptions, onError);
    const sweep = attachmentStore && new AttachmentSweep(attachmentStore, attachments, records, expireAfter);
    this.sweep = new Sweep(records, this.retention, settings.keep, this.reader, sweep, onError);
    const { keep, sealer, feedback } = settings;
    const kept = { message: Math.max(keep.sent, keep.failed), campaign: RECORD_KEPT_FOR };
    this.checkpoints = new Checkpoints(records, onError, feedback.providerIds ? kept.message : undefined);
    this.control = new Control(queue, records, this.reader, this.retention, this.checkpoints, attachments);
    this.presence = new Presence(records, store.opened);
    this.suspension = new Suspension(records, events, settings.waitForCapacity);
    const lookup = new MailLookup(queue, records, format, sealer);
    this.feedback = new FeedbackIntake(
      records,
      lookup,
      this.suppressions,
      events,
      this.statistics,
      sealer,
      feedback,
      kept,
    );
    this.mailReports = new MailReports(this.feedback, lookup, settings.returnPaths);
    this.completions = new Completions(records, this.reader, events, onError);
    this.bus = backend.eventLine && new EventBus(backend.eventLine, records, settings.sealer, events, onError);
    events.relay = this.bus;
    if (settings.worker.autorun) this.worker = this.createWorker();
  }

  /** BullMQ's own queue, for `@InjectQueue` and dashboards. */
  get bullQueue(): BullQueue {
    return this.backend.bullQueue;
  }

  /**
   * Opens the store if it is there and starts the worker. An embedded store that does not exist yet is created by the
   * first bulk mail; one that cannot be reached is waited for.
   */
  async start(): Promise<void> {
    const { worker } = this;
    if (worker) {
      worker.start();
      this.presence.begin(() => worker.batches);
    }
    void this.store.opened.then(() => this.sweep.start());
    void this.store.opened.then(() => this.attachments.inspect());
    void this.store.opened.then(() => this.bus?.start());
    this.statistics.start();
    if (!(await this.store.exists())) return;
    if (this.store.kind === 'embedded') await this.store.ready();
    else this.store.ready().catch(this.onError);
  }

  /** @param own for a message that has an id of its own */
  async send(message: Queueable, own?: OwnBatch): Promise<QueuedReceipt> {
    if (own?.fresh) {
      await this.flusher.reach();
      await answered(this.retention.forget(own.id));
    }
    return this.producer.send(message, own);
  }

  /** Of what is queued in this process. @param observer told how many messages are durable now. Returns what ends it. */
  observeQueued(observer: (messages: number) => void): () => void {
    return this.flusher.observe(observer);
  }

  /** For messages that are queued together, later. */
  gather(): Gathering {
    return this.producer.gather();
  }

  async sendBulk(
    bulk: ParsedBulk,
    input: Pick<BulkMailInput, 'recipients' | 'signal' | 'onProgress'>,
  ): Promise<CampaignReceipt> {
    const startedAt = performance.now();
    const receipt = await this.campaigns.send(bulk, input);
    const { id, queued, duplicates, rejected } = receipt;
    if (this.events.wants('campaign-queued')) {
      const duration = Math.round(performance.now() - startedAt);
      const { name, rendering } = bulk;
      const source = rendering && { source: rendering.source };
      const about = { campaignId: id, ...(name === undefined ? {} : { name }), ...source };
      this.events.emit('campaign-queued', { ...about, queued, duplicates, rejected, duration });
    }
    // All of it may have been delivered while it was being queued.
    this.completions.settled(id);
    return receipt;
  }

  /**
   * Asks the store something. Where nothing was ever queued there is nothing to ask, and nothing is created for it.
   *
   * @throws MailQueueUnavailableError
   */
  async ask<T>(question: () => Promise<T>, otherwise: T): Promise<T> {
    if (!(await this.store.exists())) return otherwise;
    await this.flusher.reach();
    return answered(question());
  }

  /** What happened in all processes. @throws MailQueueUnavailableError */
  stats(range: StatsRange): Promise<MailStats> {
    return this.statistics.report(range, (wanted) => this.ask(() => this.store.records.get(wanted), []));
  }

  /** Tells the store something, creating it if it is not there. @throws MailQueueUnavailableError */
  async tell(order: () => Promise<void>): Promise<void> {
    await this.flusher.reach();
    await answered(order());
  }

  /** The same as `ask` for an answer in parts. @throws MailQueueUnavailableError */
  async *askMany<T>(question: () => AsyncIterable<T>): AsyncIterable<T> {
    if (!(await this.store.exists())) return;
    await this.flusher.reach();
    const answers = question()[Symbol.asyncIterator]();
    for (let next = await answered(answers.next()); !next.done; next = await answered(answers.next())) yield next.value;
  }

  /**
   * Takes what is reported of mails. It is durable when this resolves.
   *
   * @throws MailQueueUnavailableError
   */
  async report(reports: readonly Feedback[], signed: boolean): Promise<FeedbackReceipt> {
    await this.flusher.reach();
    return answered(this.feedback.report(reports, signed));
  }

  /**
   * The same for a report that came as a mail.
   *
   * @param recipient of its envelope, where that is not in its headers
   * @throws MailQueueUnavailableError
   */
  async readMail(raw: Uint8Array, recipient: string | undefined): Promise<MailReading> {
    await this.flusher.reach();
    return answered(this.mailReports.take(raw, recipient));
  }

  /** Best effort, off the sender's path: a store that is away costs the record, never the mail. */
  recordPriority(result: PriorityResult, mail: PriorityMail, providerId?: string): void {
    const at = Date.now();
    const kept = result.status === 'sent' ? this.settings.keep.sent : this.settings.keep.failed;
    const fields = priorityFields(result, mail, at, this.settings.sealer);
    const { records } = this.store;
    const key = keys.mail(mail.id);
    const record = async (): Promise<void> => {
      if (await records.putIfAbsent(key, fields, at + kept)) return;
      // A second try of the same mail.
      await records.merge([{ key, fields }]);
      await records.expire([key], at + kept);
    };
    void this.ask(record, undefined).catch(this.onError);
    if (providerId === undefined || !this.settings.feedback.providerIds) return;
    const { sent, failed } = this.settings.keep;
    const remember = rememberProviderId(providerId, mail.id, Math.max(sent, failed));
    void this.ask(() => records.merge([remember]), undefined).catch(this.onError);
  }

  /**
   * Works on the queue for so many milliseconds, or until nothing is due any more, or until it is aborted.
   *
   * @throws MailConfigError when the process has a worker already
   * @throws MailError it is being called already
   * @throws MailQueueUnavailableError
   */
  async runUntil(length: number, { empty, abort }: RunOptions): Promise<RunReport> {
    if (this.worker) {
      throw new MailConfigError(
        'runUntil() needs a process without a worker, and this one has one that runs all the time. Set queue.worker: false, or queue.worker: { autorun: false }.',
      );
    }
    if (this.run) {
      throw new MailError('runUntil() is running already. Wait for it to return.', {
        permanent: false,
        code: 'RUNNING',
      });
    }
    if (this.stopping) return { reason: 'closed', ...NOTHING_DONE };
    if (abort?.signal.aborted) return { reason: 'aborted', ...NOTHING_DONE };
    this.run = new Run(length, {
      open: () => this.flusher.reach(),
      isAnythingDue: () => isAnythingDue(this.store, this.backend),
      createWorker: (shift) => this.createWorker(shift),
    });
    const { run } = this;
    const stop = (): void => void run.stop(abort!.within, 'aborted');
    abort?.signal.addEventListener('abort', stop, { once: true });
    try {
      // An embedded store that was never written to is not created for this.
      if (empty && !(await this.store.exists())) return { reason: 'empty', ...NOTHING_DONE };
      this.presence.begin(() => this.run?.batches ?? 0);
      return await run.work(empty);
    } finally {
      abort?.signal.removeEventListener('abort', stop);
      // The deadline is the caller's: closing waits for it.
      void this.presence.end();
      this.run = undefined;
    }
  }

  /** Tells of the campaigns that are complete, which is otherwise told within a second or so. */
  tellCompletions(): Promise<void> {
    return this.completions.lookNow();
  }

  /** Takes no more work, and finishes or records what is in flight. */
  async stopWorker(within: number): Promise<void> {
    this.stopping = true;
    await Promise.all([this.worker?.stop(within), this.run?.stop(within)]);
    await Promise.race([this.completions.stop(), sleep(LAST_LOOK, undefined, { ref: false })]);
    await this.presence.end();
  }

  /** @param within milliseconds for what a store that does not answer may hold up */
  async close(within: number): Promise<void> {
    this.sweep.stop();
    // What is queued last is counted and told as well.
    const orderly = this.producer
      .idle()
      .then(() => Promise.all([this.bus?.close(), this.statistics.close()]))
      .then(() => Promise.all([this.backend.queue.close(), this.backend.flow.close()]))
      .catch((error: unknown) => this.onError(error as Error));
    await Promise.race([orderly, sleep(within, undefined, { ref: false })]);
    await this.attachments.store?.close?.();
    await this.store.close(within);
  }

  private createWorker(shift?: Shift): BatchWorker {
    const { batch, retry, suppression, worker, returnPaths } = this.settings;
    const senders = returnPaths ? { senders: returnPaths } : {};
    return new BatchWorker(
      this.backend,
      this.store,
      this.checkpoints,
      this.suspension,
      this.events,
      this.statistics,
      this.completions,
      this.format,
      new Supplier(this.blobs, this.routes, this.preparation),
      new SuppressionGate(this.recorded, suppression),
      this.routes,
      { ...worker, maxDuration: batch.maxDuration, retry, ...senders, now: this.now },
      this.loop,
      this.onError,
      this.traces,
      shift,
    );
  }
}
