import { setTimeout as sleep } from 'node:timers/promises';
import { MailConfigError, MailError } from '../errors.js';
import type { Feedback } from '../feedback/feedback.js';
import type { SuppressionList } from '../feedback/suppression.js';
import type { BulkMailInput } from '../message/message.js';
import type { ParsedBulk } from '../message/parse.js';
import type { Store } from '../store/store.js';
import { answered } from './answered.js';
import type { Backend, BullQueue } from './backend.js';
import type { Queueable } from './batch.js';
import type { Control } from './control.js';
import { isAnythingDue } from './due.js';
import type { FeedbackIntake, FeedbackReceipt } from './feedback/intake.js';
import type { MailReading } from './feedback/mail-reports.js';
import { rememberProviderId } from './feedback/provider-ids.js';
import type { Gathering } from './gathering.js';
import { keys } from './keys.js';
import type { OwnBatch } from './packing.js';
import { createParts, type QueueGround, type QueueParts, type QueueSurroundings } from './parts.js';
import type { Presence } from './presence.js';
import { priorityFields, type PriorityMail, type PriorityResult } from './priority-record.js';
import type { QueuedReceipt } from './producer.js';
import type { CampaignReceipt } from './queueing.js';
import type { Reader } from './reader.js';
import { Run, type RunReport } from './run.js';
import type { MailQueueSettings } from './settings.js';
import { NOTHING_DONE } from './shift.js';
import type { MailStats, Statistics, StatsRange } from './statistics.js';
import type { StoreAccess } from './store-access.js';
import type { BatchWorker } from './worker.js';

/** When a run ends before its time is over. */
export interface RunOptions {
  empty: boolean;
  /** `within` are the milliseconds that what is in flight has to be finished. */
  abort?: { signal: AbortSignal; within: number };
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
  /** Tells all processes on the queue that this one has a worker. */
  readonly presence: Presence;
  readonly access: StoreAccess;
  private readonly store: Store;
  private readonly backend: Backend;
  private readonly parts: QueueParts;
  private readonly worker: BatchWorker | undefined;
  private run: Run | undefined;
  private stopping = false;

  /** @param ground its store is closed with the queue */
  constructor(
    private readonly settings: MailQueueSettings,
    ground: QueueGround,
    private readonly outside: QueueSurroundings,
  ) {
    const parts = createParts(settings, ground, outside);
    this.parts = parts;
    this.store = ground.store;
    this.backend = ground.backend;
    this.reader = parts.reader;
    this.control = parts.control;
    this.statistics = parts.statistics;
    this.suppressions = parts.suppressions;
    this.feedback = parts.feedback;
    this.presence = parts.presence;
    this.access = parts.access;
    outside.events.relay = parts.bus;
    if (settings.worker.autorun) this.worker = parts.createWorker();
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
    void this.store.opened.then(() => this.parts.sweep.start());
    void this.store.opened.then(() => this.parts.attachments.inspect());
    void this.store.opened.then(() => this.parts.bus?.start());
    this.statistics.start();
    if (!(await this.store.exists())) return;
    if (this.store.kind === 'embedded') await this.store.ready();
    else this.store.ready().catch(this.outside.onError);
  }

  /** @param own for a message that has an id of its own */
  async send(message: Queueable, own?: OwnBatch): Promise<QueuedReceipt> {
    if (own?.fresh) {
      await this.parts.flusher.reach();
      await answered(this.parts.retention.forget(own.id));
    }
    return this.parts.producer.send(message, own);
  }

  /** Of what is queued in this process. @param observer told how many messages are durable now. Returns what ends it. */
  observeQueued(observer: (messages: number) => void): () => void {
    return this.parts.flusher.observe(observer);
  }

  /** For messages that are queued together, later. */
  gather(): Gathering {
    return this.parts.producer.gather();
  }

  async sendBulk(
    bulk: ParsedBulk,
    input: Pick<BulkMailInput, 'recipients' | 'signal' | 'onProgress'>,
  ): Promise<CampaignReceipt> {
    const startedAt = performance.now();
    const receipt = await this.parts.campaigns.send(bulk, input);
    const { id, queued, duplicates, rejected } = receipt;
    if (this.outside.events.wants('campaign-queued')) {
      const duration = Math.round(performance.now() - startedAt);
      const { name, rendering } = bulk;
      const source = rendering && { source: rendering.source };
      const about = { campaignId: id, ...(name === undefined ? {} : { name }), ...source };
      this.outside.events.emit('campaign-queued', { ...about, queued, duplicates, rejected, duration });
    }
    // All of it may have been delivered while it was being queued.
    this.parts.completions.settled(id);
    return receipt;
  }

  /** What happened in all processes. @throws MailQueueUnavailableError */
  stats(range: StatsRange): Promise<MailStats> {
    return this.statistics.report(range, (wanted) => this.access.ask(() => this.store.records.get(wanted), []));
  }

  /**
   * Takes what is reported of mails. It is durable when this resolves.
   *
   * @throws MailQueueUnavailableError
   */
  async report(reports: readonly Feedback[], signed: boolean): Promise<FeedbackReceipt> {
    await this.parts.flusher.reach();
    return answered(this.feedback.report(reports, signed ? 'signed' : 'nobody'));
  }

  /** Undefined where the options do not say. */
  get findsByProviderId(): boolean | undefined {
    return this.settings.feedback.providerIds;
  }

  /**
   * The same for a report that came as a mail.
   *
   * @param recipient of its envelope, where that is not in its headers
   * @throws MailQueueUnavailableError
   */
  async readMail(raw: Uint8Array, recipient: string | undefined): Promise<MailReading> {
    await this.parts.flusher.reach();
    return answered(this.parts.mailReports.take(raw, recipient));
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
    void this.access.ask(record, undefined).catch(this.outside.onError);
    if (providerId === undefined || !this.settings.feedback.providerIds) return;
    const { sent, failed } = this.settings.keep;
    const remember = rememberProviderId(providerId, mail.id, Math.max(sent, failed));
    void this.access.ask(() => records.merge([remember]), undefined).catch(this.outside.onError);
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
      open: () => this.parts.flusher.reach(),
      isAnythingDue: () => isAnythingDue(this.store, this.backend),
      createWorker: (shift) => this.parts.createWorker(shift),
      sweep: () => this.parts.sweep.runIfDue().catch(this.outside.onError),
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
    return this.parts.completions.lookNow();
  }

  /** Takes no more work, and finishes or records what is in flight. */
  async stopWorker(within: number): Promise<void> {
    this.stopping = true;
    await Promise.all([this.worker?.stop(within), this.run?.stop(within)]);
    await Promise.race([this.parts.completions.stop(), sleep(LAST_LOOK, undefined, { ref: false })]);
    await this.presence.end();
  }

  /** @param within milliseconds for what a store that does not answer may hold up */
  async close(within: number): Promise<void> {
    this.parts.sweep.stop();
    // What is queued last is counted and told as well.
    const orderly = this.parts.producer
      .idle()
      .then(() => Promise.all([this.parts.bus?.close(), this.statistics.close()]))
      .then(() => Promise.all([this.backend.queue.close(), this.backend.flow.close()]))
      .catch((error: unknown) => this.outside.onError(error as Error));
    await Promise.race([orderly, sleep(within, undefined, { ref: false })]);
    await this.parts.attachments.store?.close?.();
    await this.store.close(within);
  }
}
