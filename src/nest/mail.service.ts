import type { Type } from '@nestjs/common';
import { MailConfigError } from '../errors.js';
import type { Duration } from '../message/duration.js';
import { parseDuration } from '../message/duration.js';
import type { BulkMailInput, MailMessageInput } from '../message/message.js';
import type { CampaignReceipt } from '../queue/queueing.js';
import type { CleanOptions } from '../queue/control.js';
import type { MailQueue } from '../queue/mail-queue.js';
import { EMPTY_QUEUE, type CampaignReport, type QueueReport } from '../queue/reader.js';
import type { MailStats, Statistics } from '../queue/statistics.js';
import type { MailStatus } from '../queue/status.js';
import type { Routes } from '../transport/route.js';
import type { Collector } from './collector.js';
import type { Mailable } from './mail-class.js';
import { transportHealth, type TransportHealth } from './mail-health.js';
import { MailSuppressions } from './mail-suppressions.js';
import { MailFeedback } from './mail-feedback.js';
import type { Mailer } from './mailer.js';
import type { MailableBulk, MailableOptions, NoData } from './mailable-options.js';
import { checkOnCollectError, type OnCollectError } from './options/collect.js';
import type { MailSettings } from './options/parse.js';
import { bulkLane, Sender, type MailReceipt } from './sender.js';
import { parseStatsRange, type StatsOptions } from './stats-range.js';
import { MailUnsubscriptions } from './unsubscribe/mail-unsubscriptions.js';

/** Whether a transport can be reached and logged in to, and where it stands among the others. */
export interface TransportCheck extends TransportHealth {
  ok: boolean;
  /** Milliseconds to connect, upgrade to TLS, log in and get an answer. */
  duration: number;
  /** Why not, in the server's or the socket's words. */
  error?: string;
}

/**
 * Sends mail in two lanes.
 *
 * ```ts
 * await mail.send({ to: user.email, subject: 'Your code', text: code });              // priority: the provider's answer
 * await mail.send({ lane: 'bulk', to: user.email, subject: 'Weekly news', html });    // bulk: durably queued
 * await mail.sendBulk({ subject: 'Hi {{name}}', html, recipients: followers() });     // a mail of their own for each
 * ```
 */
export class MailService {
  /** The addresses that get no more mail. */
  readonly suppressions: MailSuppressions;
  /** Takes what the unsubscribe links of mails ask for. */
  readonly unsubscriptions: MailUnsubscriptions;
  /** Takes bounces, complaints and whatever else is reported of mails that were sent. */
  readonly feedback: MailFeedback;
  private readonly sender: Sender;
  private readonly settings: MailSettings;
  private readonly routes: Routes;
  private readonly mailQueue: MailQueue | undefined;
  private readonly statistics: Statistics;
  private readonly collector: Collector;

  /** @internal */
  constructor(mailer: Mailer) {
    this.sender = new Sender(mailer);
    this.suppressions = new MailSuppressions(mailer.suppressions);
    this.settings = mailer.settings;
    this.routes = mailer.routes;
    this.mailQueue = mailer.queue;
    const byMail = mailer.settings.unsubscribe && ((raw: Uint8Array) => this.unsubscriptions.unsubscribeByMail(raw));
    this.feedback = new MailFeedback(mailer.queue, byMail);
    this.unsubscriptions = new MailUnsubscriptions({
      tokens: mailer.settings.unsubscribe?.tokens,
      onUnsubscribe: mailer.settings.unsubscribe?.onUnsubscribe,
      onResubscribe: mailer.settings.unsubscribe?.onResubscribe,
      suppressions: mailer.suppressions,
      // Without a queue nothing is kept that it could be counted in.
      report: mailer.queue && ((feedback) => this.feedback.report(feedback)),
    });
    this.statistics = mailer.statistics;
    this.collector = mailer.collector;
  }

  /**
   * Sends one message to all of its to, cc and bcc. On the priority lane it resolves when the provider has accepted it for
   * at least one of them; those it refused are in the receipt. On the bulk lane it resolves when the message is durable.
   *
   * A bulk message that is sent inside a collection is checked and has its ids, and is queued when that ends.
   *
   * With an `idempotencyKey` that was used before, the first one's receipt is returned and nothing is sent.
   *
   * @throws MailValidationError every fault of the message; nothing was sent
   * @throws MailDeliveryError (priority) no transport took it; it carries every attempt. With outcome `unknown` it may have
   *   been sent, by this call or an earlier one with the same `idempotencyKey`
   * @throws MailQueueUnavailableError (bulk) the store cannot be reached
   * @throws MailConfigError a `template` without the option `templates`
   * @throws MailError (priority, `RENDER`) its template cannot be rendered
   * @throws MailError (`COLLECTION_FULL`) it would be more than `collect.max` or `collect.maxBytes`
   */
  send(message: MailMessageInput): Promise<MailReceipt>;
  /**
   * Sends the mail that a mail class makes of `data`: at once on the priority lane, in the worker on the bulk lane, whose queue
   * holds the data. What is given here goes before what `render()` returns; headers come together, and attachments too.
   *
   * @throws what sending a message throws
   * @throws MailValidationError also for data that JSON would change, with the path
   * @throws MailConfigError the class has no `@Mail`, or no module provides it
   * @throws MailError (priority, `RENDER`) `render()` threw, or what it returned is no valid mail
   */
  send<T>(mail: Type<Mailable<T>>, options: MailableOptions<NoInfer<T>>): Promise<MailReceipt>;
  send<T>(what: MailMessageInput | Type<Mailable<T>>, options?: MailMessageInput): Promise<MailReceipt> {
    return typeof what === 'function' ? this.sender.sendClass(what, options ?? {}) : this.sender.send(what);
  }

  /**
   * Sends one message to many, a mail of their own each, and resolves when all are durably queued. Reads the recipients no
   * faster than the queue takes them. The same `id` again continues a campaign that was interrupted.
   *
   * @throws MailValidationError every fault of the shared part; invalid recipients are in the receipt instead
   * @throws MailQueueUnavailableError the store cannot be reached
   * @throws MailError the source failed, or the signal aborted; `campaignId` and `queued` say how far it came
   */
  sendBulk(bulk: BulkMailInput): Promise<CampaignReceipt>;
  /**
   * Sends each recipient the mail that a mail class makes of their `data`. What the campaign's own `data` has need not be in
   * it: it is stored once a batch, and a recipient's goes before it.
   *
   * @throws what sending a campaign throws
   * @throws MailConfigError the class has no `@Mail`, or no module provides it
   */
  sendBulk<T, Shared extends Partial<T> = NoData>(
    mail: Type<Mailable<T>>,
    bulk: MailableBulk<T, Shared>,
  ): Promise<CampaignReceipt>;
  sendBulk<T>(what: BulkMailInput | Type<Mailable<T>>, bulk?: object): Promise<CampaignReceipt> {
    return typeof what === 'function'
      ? this.sender.sendBulkClass(what, bulk as BulkMailInput)
      : this.sender.sendBulk(what);
  }

  /**
   * Collects the bulk mail of this mailer that is sent while `work` runs, and queues it in one go when `work` has succeeded:
   * resolves when it is durably queued. When `work` fails, its mail is discarded. Inside another collection it is part of that.
   *
   * ```ts
   * const order = await mail.collect(() => orders.place(basket));
   * ```
   *
   * @param options.onError `'flush'` queues the mail also when `work` fails. Default: the option `collect.onError`
   * @throws whatever `work` throws
   * @throws MailConfigError `onError` is neither; `work` was not run
   * @throws MailQueueUnavailableError the mail could not be queued; `ids` are those that are not surely queued. What `work` did
   *   is not undone
   */
  async collect<T>(work: () => T | Promise<T>, options: { onError?: OnCollectError } = {}): Promise<T> {
    checkOnCollectError(options.onError, 'collect({ onError })');
    return this.collector.during(async () => work(), options.onError);
  }

  /** Where a message is. Undefined: unknown, collected and not flushed yet, or past retention. */
  async status(id: string): Promise<MailStatus | undefined> {
    const queue = this.mailQueue;
    return queue?.access.ask(() => queue.reader.status(id), undefined);
  }

  /** How a campaign is doing. Undefined: unknown, or past retention. */
  async campaign(id: string): Promise<CampaignReport | undefined> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.ask(() => queue.reader.campaign(id), undefined);
  }

  /**
   * Every message of a campaign that is queued, one for each recipient, in the order in which they were. Those past retention
   * (`queue.keep`) are left out.
   */
  async *recipients(campaignId: string): AsyncIterable<MailStatus> {
    const queue = bulkLane(this.mailQueue);
    yield* queue.access.askMany(() => queue.reader.recipients(campaignId));
  }

  /** The messages of a campaign that failed, with the server's words. */
  async *failures(campaignId: string): AsyncIterable<MailStatus> {
    const queue = bulkLane(this.mailQueue);
    yield* queue.access.askMany(() => queue.reader.failures(campaignId));
  }

  /** The messages of a campaign that are still to be served. */
  async *remaining(campaignId: string): AsyncIterable<MailStatus> {
    const queue = bulkLane(this.mailQueue);
    yield* queue.access.askMany(() => queue.reader.remaining(campaignId));
  }

  /**
   * Tries the messages of a campaign again that have failed, each as if for the first time. Returns how many there are. They
   * can be tried until `queue.keep.failed` has passed; those of a cancelled campaign cannot.
   */
  async retryFailed(campaignId: string): Promise<number> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.ask(() => queue.control.retryFailed(campaignId), 0);
  }

  /** Cancels a queued message or a campaign. True when something unsent was stopped. */
  async cancel(id: string): Promise<boolean> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.ask(() => queue.control.cancel(id), false);
  }

  /** Holds a campaign, or the whole bulk lane. Messages that are being sent are finished. */
  async pause(campaignId?: string): Promise<void> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.tell(() => queue.control.pause(campaignId));
  }

  /** Lets a campaign go on that is paused or suspended, with exactly those still to be served; or the whole bulk lane. */
  async resume(campaignId?: string): Promise<void> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.tell(() => queue.control.resume(campaignId));
  }

  /** The bulk lane's batches by what they are doing. */
  async queue(): Promise<QueueReport> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.ask(() => queue.reader.report(), EMPTY_QUEUE);
  }

  /**
   * What happened to mail in both lanes, over all transports and all processes on the same queue. Numbers are recipients. With
   * `queue: false` this process alone is counted.
   *
   * ```ts
   * const { total, lanes, transports } = await mail.stats({ since: '24h' });
   * ```
   *
   * @throws MailConfigError what is asked for makes no sense
   * @throws MailQueueUnavailableError
   */
  async stats(range: StatsOptions): Promise<MailStats> {
    const parsed = parseStatsRange(range);
    return this.mailQueue ? this.mailQueue.stats(parsed) : this.statistics.report(parsed);
  }

  /**
   * Cancels everything that waits in the bulk lane, scheduled mail included, and each campaign of which something waits.
   * Returns how many messages that were.
   */
  async drain(): Promise<number> {
    const queue = bulkLane(this.mailQueue);
    return queue.access.ask(() => queue.control.drain(), 0);
  }

  /** Removes finished batches for good. Returns how many messages in that state they held. */
  async clean({ state, olderThan }: Omit<CleanOptions, 'olderThan'> & { olderThan: Duration }): Promise<number> {
    const queue = bulkLane(this.mailQueue);
    const age = parseDuration(olderThan);
    if (age === undefined)
      throw new MailConfigError("clean({ olderThan }) takes milliseconds or a string such as '7d'.");
    return queue.access.ask(() => queue.control.clean({ state, olderThan: age }), 0);
  }

  /**
   * Connects and logs in to every configured transport, and tells the order in which they are taken and why. Never throws
   * for one that cannot be used.
   */
  async verify(): Promise<TransportCheck[]> {
    const checks = await Promise.all(
      this.routes.transports.map(async (transport) => {
        const started = performance.now();
        const elapsed = (): number => Math.round(performance.now() - started);
        try {
          await transport.verify(AbortSignal.timeout(this.settings.priority.timeout));
          return { ok: true, duration: elapsed() };
        } catch (error) {
          return { ok: false, duration: elapsed(), error: (error as Error).message };
        }
      }),
    );
    return transportHealth(this.routes).map((health, index) => ({ ...health, ...checks[index]! }));
  }
}
