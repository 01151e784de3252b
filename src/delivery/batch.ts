import { MailDeliveryError, MailError, reasonOf } from '../errors.js';
import { suppressionReply, type Suppression } from '../feedback/suppression.js';
import { messageId } from '../message/ids.js';
import { envelopeAddress } from '../mime/compose.js';
import type { NoRoom, Route } from '../transport/dispatch.js';
import type { Rejection, TransportError } from '../transport/transport.js';
import { deliver, type Delivery, type Hops } from './deliver.js';
import { Veto } from './interception.js';
import type { Ledger, RecipientFact, Unplaced } from './ledger.js';
import type { Attempt, DeliveryObserver } from './observer.js';
import { TROUBLE, verdictOn, type RetryPolicy } from './retry.js';
import { slotOf, type BatchControl, type BatchResult, type BatchWork, type Hold } from './work.js';

/** A batch at which so many workers died is delivered one message at a time, so that it shows which of them it was. */
const SINGLY_AFTER = 3;
/** Trouble that goes on and on is noted this often. Milliseconds. */
const NOTED_EVERY = 15 * 60_000;
/** When what had room has none after all. Milliseconds. */
const LOOK_AGAIN = 1_000;
/** A message that was being tried at so many deaths is given up. */
const DEADLY = 2;
/** Messages in a row to each of which a provider answers that it takes nothing: it is what they have in common, such as the sender. */
const UNWANTED = 3;
/** It was not tried. */
const AT_ONCE: Attempt = { duration: 0 };

/**
 * Delivers what the ledger does not show as settled. Each recipient is settled at most once, by the answer about it; a
 * failure of the transports says nothing about the messages and ends the run.
 *
 * @throws what broke, when nothing of the batch is in flight any more
 */
export async function deliverBatch(
  work: BatchWork,
  ledger: Ledger,
  policy: RetryPolicy,
  control: BatchControl,
  observer?: DeliveryObserver,
): Promise<BatchResult> {
  const run = new BatchRun(work, ledger, policy, control, observer);
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(run.lanes, work.size) }, () => run.lane()));
  await ledger.committed();
  const broken = lanes.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
  if (broken) throw broken.reason;
  return run.result();
}

class BatchRun {
  private begun = 0;
  /** The first message to be tried. */
  private readonly first: number;
  /** Refused since the last acceptance, as {@link UNWANTED} says. */
  private unwanted = 0;
  /** Nothing more is begun. */
  private stopped = false;
  private hold: Hold | undefined;
  private noted = false;
  /** Before this time no transport takes anything. */
  private heldUntil = 0;
  private readonly singly: boolean;
  /** Once it is no, it stays no: a message that was kept back for it is not to be taken for one that was refused. */
  private readonly mayContinue = (): boolean => {
    this.stopped ||= !this.control.mayContinue();
    return !this.stopped;
  };
  private readonly isHeld = (): boolean => this.control.isHeld();

  constructor(
    private readonly work: BatchWork,
    private readonly ledger: Ledger,
    private readonly policy: RetryPolicy,
    private readonly control: BatchControl,
    private readonly observer: DeliveryObserver | undefined,
  ) {
    this.singly = control.deaths >= SINGLY_AFTER;
    // Those that were refused are not to hide others that would not be.
    const anywhere = !this.singly && ledger.view.yieldsInARow > 0;
    this.first = anywhere ? Math.floor(Math.random() * work.size) : 0;
  }

  /** Messages at once. */
  get lanes(): number {
    return this.singly ? 1 : this.control.concurrency;
  }

  /** Takes one message after the other until there is none left or the run ends. One that breaks ends it for all. */
  async lane(): Promise<void> {
    try {
      while (this.begun < this.work.size) {
        await this.ledger.room();
        if (!(await this.step())) return;
      }
    } catch (error) {
      this.stopped = true;
      throw error;
    }
  }

  /** One message. False when the run ends. */
  private async step(): Promise<boolean> {
    if (this.begun >= this.work.size) return false;
    if (!this.mayContinue()) return false;
    const index = (this.first + this.begun++) % this.work.size;
    const pending = this.due(index);
    if (pending.length > 0) await this.one(index, pending);
    return true;
  }

  result(): BatchResult {
    let nextAt = Infinity;
    for (let index = 0; index < this.work.size; index++) {
      for (const slot of this.slots(index)) {
        if (this.ledger.view.isSettled(slot)) continue;
        const state = this.ledger.view.get(slot);
        nextAt = Math.min(nextAt, state?.fact.kind === 'deferred' ? state.fact.until : 0);
      }
    }
    if (nextAt === Infinity) return { state: 'done' };
    const { hold } = this;
    return { state: 'pending', nextAt: this.stopped ? this.heldUntil : nextAt, ...(hold ? { hold } : {}) };
  }

  private async one(index: number, pending: readonly number[]): Promise<void> {
    const wanted = this.wanted(index, pending);
    if (wanted.length === 0) return;
    const route = await this.work.dispatch.next(this.mayContinue);
    if (!route) {
      this.stopped = true;
      return;
    }
    if ('until' in route) return this.crowded(route);
    // Those that wait for room at a slow transport take no turn from the others.
    const leave = await this.control.enter();
    try {
      // The waits may have been long.
      const left = this.mayContinue() ? this.wanted(index, wanted) : [];
      if (left.length > 0) await this.attempt(index, left, route);
    } finally {
      leave();
      route.leave();
    }
  }

  private async attempt(index: number, pending: readonly number[], route: Route): Promise<void> {
    if (this.singly) await this.begin(index, pending);
    const begunAt = performance.now();
    const duration = (): number => performance.now() - begunAt;
    try {
      const delivery = await this.send(index, pending, route);
      this.accepted(index, pending, delivery, { duration: duration() });
    } catch (error) {
      if (error instanceof MailDeliveryError) this.refused(index, pending, error, duration());
      else if (error instanceof Veto) this.vetoed(index, pending, duration());
      // It cannot be made: its own fault, and the others go on.
      else this.unmade(index, pending, error, duration());
    }
    // Whatever ended this run, it was not this message: the worker has lived to tell.
    if (this.singly && this.stopped) this.mark('');
  }

  /** Those of its recipients to whom it is still to be sent. What becomes of the others is recorded. */
  private wanted(index: number, pending: readonly number[]): readonly number[] {
    if (this.isOver(index, pending)) return [];
    const { suppressed } = this.control;
    if (!suppressed) return pending;
    const recipients = this.work.recipients(index);
    return pending.filter((place) => {
      const why = suppressed(recipients[place]!);
      if (why) this.suppress(index, place, why);
      return !why;
    });
  }

  private suppress(index: number, place: number, why: Suppression): void {
    const fact = { kind: 'cancelled', reply: suppressionReply(why), suppressed: why.reason } as const;
    this.all(index, [place], { ...fact, at: Date.now() });
  }

  /** It is not to be sent any more, and that is recorded; or nothing can be sent for now. */
  private isOver(index: number, pending: readonly number[]): boolean {
    const at = Date.now();
    const { expiresAt, blocked } = this.work;
    const { now = Date.now } = this.control;
    if (this.control.isCancelled(index)) this.all(index, pending, { kind: 'cancelled', at });
    else if (expiresAt !== undefined && expiresAt <= now()) this.all(index, pending, { kind: 'expired', at });
    else if (blocked !== undefined) this.blocked(index, pending, blocked);
    else if (this.singly && this.isDeadly(index, pending)) {
      const reply = `${DEADLY} workers died while they were delivering it, so it is not tried any more.`;
      this.all(index, pending, { kind: 'failed', at, reply });
    } else return false;
    return true;
  }

  private isDeadly(index: number, [first]: readonly number[]): boolean {
    return this.ledger.view.deathsAt(slotOf(this.work, index, first!), this.control.deaths) >= DEADLY;
  }

  /** Durable before the message is touched, so that it can be told which one a worker died of. */
  private async begin(index: number, [first]: readonly number[]): Promise<void> {
    this.mark(slotOf(this.work, index, first!));
    await this.ledger.committed();
  }

  private mark(slot: string): void {
    this.ledger.add({ slot, at: Date.now(), kind: 'begun', deaths: this.control.deaths });
  }

  private send(index: number, pending: readonly number[], route: Hops): Promise<Delivery> {
    const { traces } = this.work;
    if (!traces) return this.handOver(index, pending, route);
    return traces.deliver(index, route, (hops) => this.handOver(index, pending, hops));
  }

  private async handOver(index: number, pending: readonly number[], route: Hops): Promise<Delivery> {
    const { work } = this;
    const { sender, mail, headers, body, recipients } = await work.write(index);
    const to = recipients ? this.instead(index, pending, recipients) : this.addresses(index, pending);
    const from = this.control.senders?.of(mail.id, to) ?? envelopeAddress(sender);
    const envelope = { from, to: to.map(envelopeAddress) };
    return deliver({ envelope, headers, body, mail }, route, {
      id: mail.id,
      lane: 'bulk',
      signal: this.control.signal,
      stillWanted: this.mayContinue,
      mayHandOver: this.isHeld,
    });
  }

  private addresses(index: number, places: readonly number[]): string[] {
    const recipients = this.work.recipients(index);
    return places.map((place) => recipients[place]!);
  }

  /**
   * Other recipients than the message's own were put in. One of its own that is among them still gets it for itself; the
   * others are settled by what becomes of the message.
   *
   * @throws Veto nobody is left that does not have it yet
   */
  private instead(index: number, pending: readonly number[], recipients: readonly string[]): string[] {
    const due = new Set(this.addresses(index, pending));
    const others = new Set(this.work.recipients(index).filter((address) => !due.has(address)));
    const left = recipients.filter((address) => !others.has(address));
    if (left.length === 0) throw new Veto(messageId(this.work.id, index), 'an interceptor');
    return left;
  }

  private vetoed(index: number, pending: readonly number[], duration: number): void {
    this.all(index, pending, { kind: 'cancelled', at: Date.now() }, { duration });
  }

  private accepted(index: number, pending: readonly number[], delivery: Delivery, attempt: Attempt): void {
    const at = Date.now();
    this.unwanted = 0;
    const { transport, response, providerId, rejections } = delivery;
    const facts = pending.map((recipient): RecipientFact => {
      const address = envelopeAddress(this.work.recipients(index)[recipient]!);
      const rejection = rejections.find((one) => one.address === address);
      if (rejection) return this.rejected(index, recipient, transport, rejection);
      const slot = slotOf(this.work, index, recipient);
      return { slot, at, kind: 'sent', transport, reply: response, ...(providerId ? { providerId } : {}) };
    });
    this.record(index, facts, { ...attempt, ...this.refusals(index, pending, rejections) });
  }

  private refused(index: number, pending: readonly number[], error: MailDeliveryError, duration: number): void {
    // Cut by us, not refused by anybody: it stays pending, and may be sent again.
    if (this.control.signal.aborted || (failureOf(error)?.phase === 'queue' && !this.mayContinue())) {
      this.stopped = true;
      return;
    }
    const failure = failureOf(error);
    if (!failure) return this.crowded({ until: Date.now() + LOOK_AGAIN, reason: 'No transport had room' });
    if (failure.retryAt !== undefined) return this.limited(failure.retryAt);
    // What is answered to a message may come of that message, whatever it says.
    if (failure.kind === 'down' && !failure.answersMessage) return this.troubled(failure.reply, failure.transport);
    const rejections = new Map(failure.rejections.map((rejection) => [rejection.address, rejection]));
    const givenUp = failure.kind === 'down' && this.isGivenUp(failure.reply);
    const facts = pending.map((recipient) => {
      const address = envelopeAddress(this.work.recipients(index)[recipient]!);
      const told = rejections.get(address) ?? failure;
      return this.rejected(index, recipient, failure.transport, givenUp ? { ...told, permanent: true } : told);
    });
    const refusals = this.refusals(index, pending, failure.rejections);
    this.record(index, facts, { duration, outcome: failure.outcome, ...refusals });
  }

  private refusals(
    index: number,
    places: readonly number[],
    rejections: readonly Rejection[],
  ): Pick<Attempt, 'refused'> {
    const addresses = new Set(rejections.filter(isRefusal).map(({ address }) => address));
    if (addresses.size === 0) return {};
    const recipients = this.work.recipients(index);
    const refused = places.filter((place) => addresses.has(envelopeAddress(recipients[place]!)));
    return { refused: refused.map((place) => slotOf(this.work, index, place)) };
  }

  /** Whether the provider has answered for so long that it takes nothing of this batch. If not, several such answers end the run. */
  private isGivenUp(reason: string): boolean {
    if (this.ledger.view.yieldedFor(TROUBLE.maxPause) >= this.policy.maxAge) return true;
    if (++this.unwanted >= UNWANTED) this.end({ by: 'refusal', reason });
    return false;
  }

  private unmade(index: number, pending: readonly number[], error: unknown, duration: number): void {
    const { permanent = true, code } = error instanceof MailError ? error : {};
    const reply = describeFault(error);
    const facts = pending.map((recipient) => this.rejected(index, recipient, undefined, { reply, permanent }));
    this.record(index, facts, { duration, ...(code === undefined ? {} : { code }) });
  }

  /** Waits for what is missing as for a transport, but not for ever. */
  private blocked(index: number, pending: readonly number[], reply: string): void {
    const at = Date.now();
    if (at - (this.ledger.view.troubledSince() ?? at) < this.policy.maxAge) this.troubled(reply, undefined, 'missing');
    else this.all(index, pending, { kind: 'failed', at, reply });
  }

  /** The transports said when they take mail again. Nobody is to blame. */
  private limited(until: number): void {
    this.heldUntil = Math.max(this.heldUntil, until);
    this.end({ by: 'limit' });
  }

  /** No transport has room: this message and those not yet tried wait. */
  private crowded({ until, reason }: NoRoom): void {
    this.heldUntil = Math.max(this.heldUntil, until);
    this.note(reason);
    this.end({ by: 'room', reason });
  }

  /** The transport's trouble: this message and those not yet tried stay pending, and no attempt is spent. */
  private troubled(reason: string, transport: string | undefined, by: 'trouble' | 'missing' = 'trouble'): void {
    this.note(reason, transport);
    this.hold = { by, reason };
    this.stopped = true;
  }

  /** Once in a run: there is trouble. */
  private note(reply: string, transport?: string): void {
    if (this.noted) return;
    this.noted = true;
    // What has gone on for so long need not be written down each time.
    const { troubledAt } = this.ledger.view;
    if (this.ledger.view.troublesInARow() > 20 && Date.now() - troubledAt < NOTED_EVERY) return;
    this.ledger.add({ slot: '', at: Date.now(), kind: 'trouble', reply, ...(transport ? { transport } : {}) });
  }

  private end(hold: Hold): void {
    this.hold ??= hold;
    this.stopped = true;
  }

  private rejected(
    index: number,
    recipient: number,
    transport: string | undefined,
    rejection: Omit<Rejection, 'address'>,
  ): RecipientFact {
    const slot = slotOf(this.work, index, recipient);
    const verdict = verdictOn(rejection, transport, this.ledger.view.get(slot), this.policy, Date.now());
    if ('yielded' in verdict) this.note(rejection.reply, transport);
    return { slot, ...verdict };
  }

  private all(index: number, pending: readonly number[], fact: Unplaced<RecipientFact>, attempt = AT_ONCE): void {
    const facts = pending.map((recipient) => ({ ...fact, slot: slotOf(this.work, index, recipient) }));
    this.record(index, facts, attempt);
  }

  private record(index: number, facts: readonly RecipientFact[], attempt: Attempt): void {
    for (const fact of facts) this.ledger.add(fact);
    this.observer?.settled(index, facts, attempt);
  }

  /** The places of the recipients that are to be tried now. */
  private due(index: number): number[] {
    const now = (this.control.now ?? Date.now)();
    const due: number[] = [];
    this.slots(index).forEach((slot, recipient) => {
      const state = this.ledger.view.get(slot);
      if (!state || (state.fact.kind === 'deferred' && state.fact.until <= now)) due.push(recipient);
    });
    return due;
  }

  private slots(index: number): string[] {
    return this.work.recipients(index).map((_, recipient) => slotOf(this.work, index, recipient));
  }
}

/** Of the recipient alone, and for good. */
function isRefusal({ permanent, kind = 'recipient-refused' }: Rejection): boolean {
  return permanent && kind === 'recipient-refused';
}

/** What ended the delivery; undefined when there was no transport to try. */
function failureOf(error: MailDeliveryError): TransportError | undefined {
  return error.cause as TransportError | undefined;
}

function describeFault(error: unknown): string {
  return error instanceof MailError ? error.message : `It could not be encoded: ${reasonOf(error)}`;
}
