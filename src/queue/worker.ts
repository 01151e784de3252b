import { DelayedError, UnrecoverableError } from 'bullmq';
import { setMaxListeners } from 'node:events';
import { deliverBatch } from '../delivery/batch.js';
import type { BatchControl, BatchResult, Hold } from '../delivery/work.js';
import type { EnvelopeSenders } from '../delivery/envelope-senders.js';
import { harmless, type DeliveryObserver } from '../delivery/observer.js';
import type { MessageTraces } from '../delivery/traced.js';
import { pauseAfterTrouble, type RetryPolicy } from '../delivery/retry.js';
import { reasonOf } from '../errors.js';
import { oneLine } from '../message/text.js';
import type { Store } from '../store/store.js';
import type { Routes } from '../transport/route.js';
import { MESSAGES_PER_CONNECTION } from '../transport/transport.js';
import { promoteBatch, type Backend, type MailJob, type MailJobWorker } from './backend.js';
import type { Batch } from './batch.js';
import { workOf } from './batch-work.js';
import { BatchEvents, type Told } from './batch-events.js';
import { waitingReason, type BatchFormat, type WaitingBatch } from './batch-format.js';
import { Bottleneck } from './bottleneck.js';
import type { Completions } from './completions.js';
import type { EventLoopShare } from './event-loop-share.js';
import type { Refusals } from './feedback/refusals.js';
import { keys } from './keys.js';
import { Lease } from './lease.js';
import { readOrders, watchOrders, type Orders } from './orders.js';
import { Semaphore } from './semaphore.js';
import type { Shift } from './shift.js';
import type { Statistics } from './statistics.js';
import { bytesOf, type Supplier } from './supplies.js';
import type { BatchSuppressions, SuppressionGate } from './suppression-gate.js';
import type { Suspension } from './suspension.js';
import type { QueueTraces } from './traces.js';
import { readFacts, type Checkpoints, type StoreLedger } from './store-ledger.js';

export interface WorkerSettings {
  /** Batches at a time. */
  batches: number;
  /** A batch is handed back after this long, so that others get their turn. Milliseconds. */
  maxDuration: number;
  /** A worker that has died is noticed after this long at the latest, and half of it more. Milliseconds. */
  lockDuration: number;
  retry: RetryPolicy;
  /** Default: a mail's envelope sender is the address in its From. */
  senders?: EnvelopeSenders;
  /** By which scheduled mail and next attempts are due. */
  now: () => number;
}

/** What a worker works with. */
export interface WorkerParts {
  backend: Backend;
  store: Store;
  checkpoints: Checkpoints;
  suspension: Suspension;
  events: Told;
  statistics: Statistics;
  completions: Completions;
  format: BatchFormat;
  supplier: Supplier;
  gate: SuppressionGate;
  /** Undefined: nothing is done about those whom a server refuses. */
  refusals?: Refusals | undefined;
  routes: Routes;
  loop: EventLoopShare;
  traces: QueueTraces;
  onError: (error: Error) => void;
}

/** What came of a batch, and what the outside said by then. */
type Run = BatchResult & {
  /** When its campaign was resumed last. */
  resumedAt: number;
  /** When its transports last took a bulk message. */
  acceptedAt: number;
};

/** A store's failure is not a stall: a batch may be taken up again any number of times. */
const UNLIMITED = 1_000_000;
/** A paused campaign's batches come back by themselves after this long, unless `resume()` brings them earlier. */
const PAUSED_FOR = 15 * 60_000;
/** After something else than the transports or the messages failed, such as the store. */
const INTERRUPTED_FOR = 5_000;
/** A batch that found no room looks again after this long at the latest. */
const ROOM_AFTER = 30_000;
/** Closing an idle worker takes no longer than this. */
const IDLE_CLOSE = 1_000;
/** Messages of more bytes take the places of those that would be in line behind them, which is memory. */
const LARGE = 256 * 1024;
/** Between hanging up on what is in flight and letting go of the store. */
const LAST_WORDS = 500;

/** Takes batches from the queue and delivers them. */
export class BatchWorker {
  private worker: MailJobWorker | undefined;
  private readonly hangUp = new AbortController();
  private stopping = false;
  private active = 0;
  private readonly turns: Semaphore;
  private readonly bottleneck: Bottleneck;

  /** @param shift without one it works until it is stopped */
  constructor(
    private readonly parts: WorkerParts,
    private readonly settings: WorkerSettings,
    private readonly shift?: Shift,
  ) {
    const { checkpoints, routes } = parts;
    setMaxListeners(0, this.hangUp.signal);
    this.turns = new Semaphore(routes.bulkMessages);
    this.bottleneck = new Bottleneck({
      rateLimited: () => routes.rateLimited,
      storeHolds: () => checkpoints.slow,
      connectionsBusy: () => this.turns.full,
      roomAwaited: () => routes.crowded,
    });
  }

  /** Takes up work; returns at once. */
  start(): void {
    if (this.worker || this.stopping) return;
    const { batches, lockDuration } = this.settings;
    this.worker = this.parts.backend.createWorker((job, token) => this.take(job, token ?? ''), {
      concurrency: batches,
      lockDuration,
      stalledInterval: lockDuration / 2,
      maxStalledCount: UNLIMITED,
      skipLockRenewal: true,
      runRetryDelay: 1_000,
      autorun: false,
    });
    this.worker.on('error', this.parts.onError);
    void this.run(this.worker);
  }

  /** No batch is in its hands, as far as it knows: one may be on its way. */
  get idle(): boolean {
    return this.active === 0;
  }

  /** That are in its hands. */
  get batches(): number {
    return this.active;
  }

  /** Takes no more batches, and resolves when those it has are delivered or back in the queue. */
  async finish(): Promise<void> {
    await this.worker?.close();
  }

  /**
   * Takes no more batches, finishes the messages in flight, records what was accepted and hands the batches back.
   *
   * @param within milliseconds; then the connections are cut and what was in flight is sent again
   * @param lastWords milliseconds between cutting the connections and letting go of the store
   */
  async stop(within: number, lastWords = LAST_WORDS): Promise<void> {
    this.stopping = true;
    if (!this.worker) return;
    const hangUp = (): void => this.hangUp.abort(new Error('The worker is shutting down'));
    const deadline = setTimeout(hangUp, within);
    // With nothing to finish, only a store that does not answer can hold it up.
    const idle = setTimeout(() => this.idle && hangUp(), Math.min(within, IDLE_CLOSE));
    const forced = new Promise<void>((resolve) => {
      this.hangUp.signal.addEventListener('abort', () => setTimeout(resolve, lastWords), { once: true });
    });
    await Promise.race([this.worker.close(), forced]);
    for (const timer of [deadline, idle]) clearTimeout(timer);
  }

  private async run(worker: MailJobWorker): Promise<void> {
    try {
      if (this.parts.store.kind === 'embedded') await this.reclaim();
      await worker.run();
    } catch (error) {
      if (!this.stopping) this.parts.onError(error as Error);
    }
  }

  /** No other process can hold an embedded store: what is active there was left by one that died. */
  private async reclaim(): Promise<void> {
    await this.parts.store.opened;
    for (const job of await this.parts.backend.queue.getActive()) {
      // '0' passes over the lock of the dead.
      if (job?.id === undefined) continue;
      await this.parts.checkpoints.orphaned(job.id);
      await this.parts.backend.queue.getBackend().moveJobFromActiveToWait(job.id, '0');
    }
  }

  private async take(job: MailJob, token: string): Promise<unknown> {
    this.active++;
    this.shift?.take();
    try {
      return await this.process(job, token);
    } finally {
      this.active--;
    }
  }

  private async process(job: MailJob, token: string): Promise<unknown> {
    const read = await this.parts.format.read(job.data);
    if ('problem' in read) throw new UnrecoverableError(read.problem);
    if ('head' in read) return this.waitForContent(job, token, read);
    const { batch, payload } = read;
    const { sendAt = 0 } = batch;
    if (sendAt > this.settings.now() || this.stopping) return this.handBack(job, token, sendAt);
    // A lock that is lost ends the run before the next message. Those in flight are finished: what becomes of them is
    // worth recording for the worker that has the batch now.
    const lease = new Lease(job, token, this.settings.lockDuration);
    try {
      await this.parts.supplier.renew(batch, payload);
      const { orders } = await this.orders(batch);
      if (orders.held) return await this.holdBack(job, token, batch, orders);
      const { ledger, suppressions } = await this.openLedger(batch);
      const deaths = job.stalledCounter + ledger.view.orphanings;
      const events = new BatchEvents(batch, ledger, this.parts.events, this.parts.statistics);
      const { refusals } = this.parts;
      const observer = harmless(refusals ? refusals.of(batch, events) : events, this.parts.onError);
      const startedAt = performance.now();
      const run = (traces?: MessageTraces): Promise<Run> =>
        this.deliver(batch, ledger, suppressions, lease, orders, deaths, observer, traces);
      const goesOnAt = await this.observe(batch, () => this.parts.traces.batch(batch, run), ledger);
      if (goesOnAt === undefined) {
        events.completed(performance.now() - startedAt);
        if (batch.campaign) this.parts.completions.settled(batch.campaign.id);
        return ledger.view.count();
      }
      return await this.handBack(job, token, goesOnAt);
    } catch (error) {
      if (error instanceof DelayedError || error instanceof UnrecoverableError || !lease.held) throw error;
      this.parts.onError(
        new Error(`Batch ${batch.id} was interrupted and is taken up again: ${reasonOf(error)}`, { cause: error }),
      );
      return await this.handBack(job, token, Date.now() + INTERRUPTED_FOR);
    } finally {
      lease.end();
    }
  }

  /** What is known of the batch, and who of it is suppressed. */
  private async openLedger(batch: Batch): Promise<{ ledger: StoreLedger; suppressions: BatchSuppressions }> {
    const [facts, marker] = await this.parts.store.records.get([keys.ledger(batch.id), ...this.parts.gate.markers]);
    const ledger = this.parts.checkpoints.open(batch, readFacts(facts), this.hangUp.signal);
    try {
      return { ledger, suppressions: await this.parts.gate.open(batch, ledger.view, marker) };
    } catch (error) {
      // The store itself may be what is away, and is told of by the caller.
      await this.noteError(batch.campaign, reasonOf(error)).catch(() => undefined);
      throw error;
    }
  }

  /** Keeps in the campaign's record what its batch waited for. Returns when to go on with it; undefined when it is done. */
  private async observe(batch: Batch, deliver: () => Promise<Run>, ledger: StoreLedger): Promise<number | undefined> {
    const { campaign } = batch;
    if (campaign) this.bottleneck.begin(campaign.id);
    try {
      const result = await deliver();
      if (result.state === 'done') return undefined;
      const { hold, nextAt, resumedAt, acceptedAt } = result;
      // That others' mail is taken says nothing of what this batch is refused for.
      const since = hold?.by === 'refusal' ? 0 : acceptedAt;
      const at = hold ? nextTime(hold, nextAt, ledger.view.troublesInARow(since)) : nextAt;
      if (!campaign || !hold) return at;
      const limit = hold.by === 'limit' && !this.parts.routes.bulkDown ? 'rate limit' : 'provider';
      this.bottleneck.held(campaign.id, limit, at);
      if (hold.by !== 'trouble' && hold.by !== 'room') return at;
      await this.parts.suspension.consider(batch, { reason: hold.reason, acceptedAt }, ledger.view, resumedAt);
      const due = this.parts.suspension.dueAt(ledger.view, resumedAt);
      return due > Date.now() ? Math.min(at, due) : at;
    } finally {
      if (campaign) {
        const fields = this.bottleneck.end(campaign.id);
        // A figure is not worth a batch.
        await this.parts.store.records.merge([{ key: keys.bound(campaign.id), fields }]).catch(this.parts.onError);
      }
    }
  }

  private async deliver(
    batch: Batch,
    ledger: StoreLedger,
    suppressions: BatchSuppressions,
    lease: Lease,
    first: Orders,
    deaths: number,
    observer: DeliveryObserver,
    traces: MessageTraces | undefined,
  ): Promise<Run> {
    const supplies = await this.parts.supplier.of(batch);
    const work = { ...workOf(batch, supplies), ...(traces ? { traces } : {}) };
    const places = bytesOf(batch, supplies) > LARGE ? MESSAGES_PER_CONNECTION : 1;
    const endAt = performance.now() + this.settings.maxDuration;
    let orders = first;
    const before = this.shift && ledger.view.count();
    const done = new AbortController();
    const look = async (): Promise<void> => {
      const seen = await this.orders(batch, this.parts.gate.markers);
      ({ orders } = seen);
      await suppressions.refresh(seen.along[0]);
    };
    const watching = watchOrders(look, done.signal);
    try {
      const control: BatchControl = {
        concurrency: this.parts.routes.bulkMessages,
        enter: () => this.enter(places),
        mayContinue: () =>
          this.hasTime && lease.held && performance.now() < endAt && !orders.held && suppressions.fresh,
        isHeld: () => lease.held,
        isCancelled: (index) => orders.cancelled || orders.marks[String(index)] !== undefined,
        suppressed: (address) => suppressions.of(address),
        deaths,
        signal: this.hangUp.signal,
        ...(this.settings.senders ? { senders: this.settings.senders } : {}),
        now: this.settings.now,
      };
      const result = await deliverBatch(work, ledger, this.settings.retry, control, observer);
      return { ...result, resumedAt: orders.resumedAt, acceptedAt: supplies.dispatch.acceptedAt };
    } finally {
      done.abort();
      await watching;
      if (before) this.shift?.delivered(batch.id, before, ledger.view.count());
      // Before the batch goes back: this very worker might fetch it again.
      if (this.shift?.hasTime === false) this.leave(this.shift).catch(this.parts.onError);
    }
  }

  private async leave(shift: Shift): Promise<void> {
    this.stopping = true;
    shift.end('deadline');
    await this.worker?.close();
  }

  private get hasTime(): boolean {
    return !this.stopping && this.shift?.hasTime !== false;
  }

  /** A turn among all messages of the process, then one of the event loop. */
  private async enter(places: number): Promise<() => void> {
    const leave = await this.turns.enter(places);
    await this.parts.loop.enter();
    const { shift } = this;
    if (!shift) return leave;
    const startedAt = performance.now();
    return () => {
      shift.took(performance.now() - startedAt);
      leave();
    };
  }

  private orders(batch: Batch, along: readonly string[] = []): ReturnType<typeof readOrders> {
    return readOrders(this.parts.backend.queue, this.parts.store.records, batch, along);
  }

  /** Holds a batch back whose campaign is paused. A queue that is paused as a whole is held by BullMQ itself. */
  private async holdBack(job: MailJob, token: string, batch: Batch, orders: Orders): Promise<never> {
    await job.moveToDelayed(orders.campaignPaused ? Date.now() + PAUSED_FOR : Date.now(), token);
    // `resume()` cannot wake a batch that is still here when it comes.
    if (!(await this.orders(batch)).orders.held) {
      await promoteBatch(this.parts.backend.queue, batch.id);
    }
    throw new DelayedError();
  }

  /**
   * Another release, or this one with its options put right, may have the key, and the attachment store may come back. Until then
   * nobody knows whose mail it is.
   */
  private async waitForContent(job: MailJob, token: string, waiting: WaitingBatch): Promise<never> {
    const { id, campaign } = waiting.head;
    this.parts.onError(new Error(waitingReason(waiting, 'A batch')));
    if ('locked' in waiting || !waiting.lost) await this.parts.supplier.holdAll().catch(this.parts.onError);
    await this.noteError(campaign, waitingReason(waiting, `Batch ${id}`)).catch(this.parts.onError);
    return this.handBack(job, token, Date.now() + pauseAfterTrouble(Math.max(1, job.attemptsStarted)));
  }

  /** For the campaign's report. */
  private async noteError(campaign: { id: string } | undefined, reason: string): Promise<void> {
    if (!campaign) return;
    const fields = { lastError: oneLine(reason) };
    await this.parts.store.records.merge([{ key: keys.campaign(campaign.id), fields }]);
  }

  /** Puts the batch back into the queue, behind those of its urgency that wait, not before the given time. */
  private async handBack(job: MailJob, token: string, at: number): Promise<never> {
    await job.moveToDelayed(Math.max(at, Date.now()), token);
    throw new DelayedError();
  }
}

function nextTime({ by }: Hold, until: number, troubles: number): number {
  if (by === 'limit') return until;
  const pause = pauseAfterTrouble(Math.max(1, troubles));
  // Room may come back at any time, and asking for it costs the mail server nothing.
  return by === 'room' ? Math.max(until, Date.now() + Math.min(pause, ROOM_AFTER)) : Date.now() + pause;
}
