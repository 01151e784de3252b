import { MemoryAttachmentStore } from '../attachments/memory-store.js';
import { MailConfigError } from '../errors.js';
import type { MailEmitter } from '../events/emitter.js';
import type { Suppression } from '../feedback/suppression.js';
import { parseDuration, type Duration } from '../message/duration.js';
import type { TransportSettings } from '../nest/options/parse.js';
import { getMailPartsToken, type MailParts, type OpenedQueue, type Report } from '../nest/parts.js';
import type { TransportContext } from '../nest/transports.js';
import { BatchFormat } from '../queue/batch-format.js';
import { MailQueue } from '../queue/mail-queue.js';
import type { MailQueueSettings } from '../queue/settings.js';
import type { RunReport } from '../queue/run.js';
import type { GuardedTransport } from '../transport/guarded.js';
import type { Failure } from './failures.js';
import { MailAssertionError } from './listing.js';
import { MemoryBackend } from './memory-backend.js';
import { Memory } from './memory-store.js';
import { memoryTransport } from './memory-transport.js';
import { Outbox, type FailOptions } from './outbox.js';
import type { OutgoingMail } from './outgoing-mail.js';
import { queuedMails, type MemoryLane, type QueuedMail } from './queued-mail.js';
import type { SentMail } from './sent-mail.js';
import { Sources } from './sources.js';
import { describeQuery, isWanted, queryOf, type Asked } from './wanted.js';

/** How much of the bulk lane `deliverQueued()` delivers. */
export interface DeliverQueuedOptions {
  /** Mail that is scheduled or waits for its next attempt as well, each as if its time had come. Default false. */
  delayed?: boolean;
  /** The same for what is due by this moment, or within so long: as if that time had passed. */
  until?: Date | Duration;
  /** It throws when it has taken longer. Default `'10s'`. */
  timeout?: Duration;
}

/** What came of `deliverQueued()`. Recipients. */
export interface DeliveredCounts {
  /** Taken by a transport. */
  sent: number;
  /** Given up. */
  failed: number;
  /** Put off by a transport: they wait for their next attempt. */
  deferred: number;
  /** Messages that are left in the queue, whatever they wait for. */
  queued: number;
}

/** What a fake has in its hands while an application runs on it. */
interface Running extends MemoryLane {
  queue: MailQueue;
}

const TIMEOUT = 10_000;

/**
 * The mail of an application under test. Its real mail module runs, options, classification, validation, rendering, queueing
 * and encoding included; only the transports and the queue's store are in memory. Nothing is connected or opened.
 *
 * ```ts
 * const mail = new MailFake();
 * const moduleRef = await mail.install(Test.createTestingModule({ imports: [AppModule] })).compile();
 * // …
 * mail.assertSent({ to: 'reader@example.com', subject: /reset/ });
 * ```
 *
 * Each test application takes one of its own, so tests that run side by side do not see each other.
 */
export class MailFake implements MailParts {
  private readonly sources = new Sources();
  private readonly outbox = new Outbox(this.sources);
  private running: Running | undefined;
  /** Whose transports there are: each application has its own events. */
  private application: MailEmitter | undefined;
  private asOf = 0;
  private delivering: Promise<unknown> = Promise.resolve();

  /** @param mailer the `name` of the mailer that it stands in for; default: the one without */
  constructor(private readonly mailer?: string) {}

  /** Puts this into the application that the builder makes, and returns the builder. */
  install<Builder>(builder: { overrideProvider(token: unknown): { useValue(value: unknown): Builder } }): Builder {
    return builder.overrideProvider(getMailPartsToken(this.mailer)).useValue(this);
  }

  /** What transports have taken, in order. */
  sent(...asked: Asked<SentMail>): SentMail[] {
    return matching(this.outbox.sent, asked);
  }

  /** What waits in the queue: not what was delivered from it, which is then sent. */
  queued(...asked: Asked<QueuedMail>): QueuedMail[] {
    return matching(this.waiting, asked);
  }

  /** Both. */
  outgoing(...asked: Asked<OutgoingMail>): OutgoingMail[] {
    return matching([...this.outbox.sent, ...this.waiting], asked);
  }

  /**
   * Some message like this was sent, in whichever lane. Returns the first.
   *
   * @throws MailAssertionError which lists what was sent and queued
   */
  assertSent(...asked: Asked<SentMail>): SentMail {
    return this.sent(...asked)[0] ?? this.none('sent', asked);
  }

  /** Some message like this waits in the queue. Returns the first. @throws MailAssertionError */
  assertQueued(...asked: Asked<QueuedMail>): QueuedMail {
    return this.queued(...asked)[0] ?? this.none('queued', asked);
  }

  /** Some message like this was sent, or waits in the queue. Returns the first. @throws MailAssertionError */
  assertOutgoing(...asked: Asked<OutgoingMail>): OutgoingMail {
    return this.outgoing(...asked)[0] ?? this.none('sent or queued', asked);
  }

  /** No message at all, or none like this, was sent or waits in the queue. @throws MailAssertionError */
  assertNothingOutgoing(...asked: Asked<OutgoingMail>): void {
    const found = this.outgoing(...asked).length;
    if (found === 0) return;
    const text = `Expected no message${describeQuery(asked)} to be sent or queued, and there ${were(found)}.`;
    this.fail(text);
  }

  /** So many messages, or messages like this, were sent or wait in the queue. @throws MailAssertionError */
  assertOutgoingCount(count: number, ...asked: Asked<OutgoingMail>): void {
    const found = this.outgoing(...asked).length;
    if (found === count) return;
    const wanted = `${count} ${count === 1 ? 'message' : 'messages'}${describeQuery(asked)}`;
    this.fail(`Expected ${wanted} to be sent or queued, and there ${were(found)}.`);
  }

  /**
   * The next message that is handed over fails: a priority `send()` rejects, and a queued mail is put off or given up, as the
   * failure says. Later ones are taken again.
   *
   * ```ts
   * mail.failNext({ replyCode: 550, reply: '5.1.1 No such user' });   // refused for good
   * mail.failNext({ replyCode: 451, reply: '4.3.0 Try again later' }); // put off
   * mail.failNext(new Error('connect ECONNREFUSED 192.0.2.1:587'));   // cannot be reached
   * mail.failNext({ phase: 'body', reply: 'Connection lost' });       // nobody knows whether it was sent
   * ```
   */
  failNext(failure: Failure, options: FailOptions = {}): void {
    this.outbox.plan(failure, options);
  }

  /**
   * Runs the bulk lane on the spot: delivers what is due in the queue, until nothing is. Without it nothing leaves the queue,
   * unless the application calls `MailWorker.runUntil()`.
   *
   * @throws MailConfigError the application does not run, or has no bulk lane
   */
  deliverQueued(options: DeliverQueuedOptions = {}): Promise<DeliveredCounts> {
    const delivered = this.delivering.then(() => this.deliver(options));
    this.delivering = delivered.catch(() => undefined);
    return delivered;
  }

  /**
   * The addresses that get no more mail, in no order. The application's `MailService.suppressions` changes them.
   *
   * @throws MailConfigError the application does not run, or has no bulk lane
   */
  async suppressions(): Promise<Suppression[]> {
    const found: Suppression[] = [];
    for await (const suppression of this.runningLane().queue.suppressions.list()) found.push(suppression);
    return found;
  }

  /** Forgets what was sent, and failures that were planned. What is queued stays. */
  clear(): void {
    this.outbox.clear();
  }

  /** Called by the mail module. */
  openQueue(settings: MailQueueSettings, { onError }: Report): Promise<OpenedQueue> {
    if (this.running && !this.running.store.closed) throw servesAnother();
    const now = (): number => Math.max(this.asOf, Date.now());
    const store = new Memory();
    const backend = new MemoryBackend(settings.name, now);
    const attachments = new MemoryAttachmentStore();
    // The test says when the queue is worked on.
    const held = { ...settings, worker: { ...settings.worker, autorun: false } };
    const create: OpenedQueue['create'] = (routes, events, preparation, tracer) => {
      const outside = { routes, events, preparation, onError, tracer };
      const queue = new MailQueue(held, { store, backend, attachments, now }, outside);
      this.running = { queue, store, backend, format: new BatchFormat(settings.sealer) };
      this.sources.lane = this.running;
      return queue;
    };
    return Promise.resolve({ store, create });
  }

  /** Called by the mail module. */
  createTransport(settings: TransportSettings, context: TransportContext): GuardedTransport {
    const { events } = context;
    if (this.outbox.users.size > 0 && this.application !== events) throw servesAnother();
    this.application = events;
    this.sources.listen(events);
    return memoryTransport(settings, context, this.outbox);
  }

  private get waiting(): QueuedMail[] {
    const { running } = this;
    return running ? queuedMails(running) : [];
  }

  private async deliver({ delayed = false, until, timeout = TIMEOUT }: DeliverQueuedOptions): Promise<DeliveredCounts> {
    const running = this.runningLane();
    const last = Math.max(delayed ? lastDue(running) : 0, timeOf(until));
    const within = parseDuration(timeout) ?? TIMEOUT;
    const deadline = performance.now() + within;
    const counts = { sent: 0, failed: 0 };
    try {
      for (let at: number | undefined = 0; at !== undefined; at = nextDue(running, at, last)) {
        this.asOf = at;
        const left = Math.max(1, deadline - performance.now());
        const { reason, sent, failed } = await running.queue.runUntil(left, { empty: true });
        counts.sent += sent;
        counts.failed += failed;
        if (reason !== 'empty') throw interrupted(reason, within, this.waiting.length);
      }
      await running.queue.tellCompletions();
    } finally {
      this.asOf = 0;
    }
    const { waiting } = this;
    const deferred = waiting.filter(({ state }) => state === 'deferred').length;
    return { ...counts, deferred, queued: waiting.length };
  }

  private runningLane(): Running {
    const { running } = this;
    if (running && !running.store.closed) return running;
    throw new MailConfigError(
      'No application with a bulk lane runs on this MailFake. Install it before compile(), and do without queue: false.',
    );
  }

  private none(what: string, asked: Asked<never>): never {
    return this.fail(`Expected a message${describeQuery(asked)} to be ${what}, and there is none.`);
  }

  private fail(message: string): never {
    throw new MailAssertionError(message, this.outbox.sent, this.waiting);
  }
}

function servesAnother(): MailConfigError {
  return new MailConfigError('A MailFake serves one application at a time. Make a new one for each test application.');
}

function interrupted(reason: RunReport['reason'], within: number, left: number): Error {
  const why =
    reason === 'closed'
      ? 'The application was closed while deliverQueued() was running'
      : `deliverQueued() did not come to an end within ${within} ms`;
  return new Error(`${why}; ${left} messages are left.`);
}

function matching<M extends OutgoingMail>(mails: readonly M[], asked: Asked<M>): M[] {
  const query = queryOf(asked);
  return mails.filter((mail) => query.every((wanted) => isWanted(mail, wanted)));
}

function were(count: number): string {
  if (count === 0) return 'are none';
  return count === 1 ? 'is one' : `are ${count}`;
}

/** When the next of those falls due that wait for their time, unless that is later than the last. */
function nextDue({ backend }: Running, after: number, last: number): number | undefined {
  const times = backend.jobs.in('delayed').map(({ place }) => (place.state === 'delayed' ? place.until : 0));
  return times.find((time) => time > after && time <= last);
}

/** When the last of them does. */
function lastDue({ backend }: Running): number {
  return Math.max(0, ...backend.jobs.in('delayed').map(({ place }) => (place.state === 'delayed' ? place.until : 0)));
}

/** @throws MailConfigError */
function timeOf(until: Date | Duration | undefined): number {
  if (until === undefined) return 0;
  const time = until instanceof Date ? until.getTime() : Date.now() + (parseDuration(until) ?? NaN);
  if (!Number.isNaN(time)) return time;
  throw new MailConfigError(
    `deliverQueued({ until }) is ${String(until)}. Give a Date, milliseconds or a string such as '2h'.`,
  );
}
