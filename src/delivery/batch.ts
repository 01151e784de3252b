import { MailDeliveryError, MailError, reasonOf } from '../errors.js';
import { messageId } from '../message/ids.js';
import { envelopeAddress } from '../mime/compose.js';
import type { Encoded } from '../mime/encoded.js';
import type { Rejection, Transport, TransportError } from '../transport/transport.js';
import { deliver, type Delivery } from './deliver.js';
import type { Fact, Ledger } from './ledger.js';
import { pauseAfter, type RetryPolicy } from './retry.js';

/** One message of a batch as bytes, and its envelope sender. */
export interface Written extends Encoded {
  sender: string;
}

/** A batch to deliver: its messages, each rendered when its turn has come. */
export interface BatchWork {
  id: string;
  size: number;
  /** The envelope recipients of a message, in an order that never changes. */
  recipients(index: number): readonly string[];
  /** @throws MailError when this message alone cannot be made */
  write(index: number): Written | Promise<Written>;
  /** The transports it may take, in order. */
  route: readonly Transport[];
  /** Why nothing of it can be sent for now, such as an attachment that is not there. */
  blocked?: string;
  expiresAt?: number;
}

/** What the outside says while a batch runs. */
export interface BatchControl {
  /** Messages of this batch at once. */
  concurrency: number;
  /** Waits for a turn among all batches of the process. A message that was started has a connection, or is next in line. */
  enter(): Promise<() => void>;
  /** Asked before each message. False ends the run: time is up, the lock is in doubt, somebody paused it. */
  mayContinue(): boolean;
  /** Asked before a body leaves: whether the batch is still this worker's. */
  isHeld(): boolean;
  isCancelled(index: number): boolean;
  /** Hangs up on messages in flight. */
  signal: AbortSignal;
}

/**
 * `done`: every recipient is settled. Otherwise when to go on, at the earliest, whether the transports are to blame, and
 * whether they said themselves when that is.
 */
export type BatchResult = { state: 'done' } | { state: 'pending'; nextAt: number; trouble: boolean; held: boolean };

/** The name of a recipient in the ledger: its message's place, and its own where there are several. */
export function slotOf(work: Pick<BatchWork, 'recipients'>, index: number, recipient: number): string {
  return work.recipients(index).length === 1 ? String(index) : `${index}.${recipient}`;
}

/**
 * Delivers what the ledger does not show as settled. Each recipient is settled at most once, by the answer about it; a
 * failure of the transports says nothing about the messages and ends the run.
 */
export async function deliverBatch(
  work: BatchWork,
  ledger: Ledger,
  policy: RetryPolicy,
  control: BatchControl,
): Promise<BatchResult> {
  const run = new BatchRun(work, ledger, policy, control);
  await Promise.all(Array.from({ length: Math.min(control.concurrency, work.size) }, () => run.lane()));
  await ledger.committed();
  return run.result();
}

class BatchRun {
  private next = 0;
  /** Nothing more is begun. */
  private stopped = false;
  private trouble = false;
  /** Before this time no transport takes anything. */
  private heldUntil = 0;
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
  ) {}

  /** Takes one message after the other until there is none left or the run ends. */
  async lane(): Promise<void> {
    while (this.next < this.work.size) {
      await this.ledger.room();
      const leave = await this.control.enter();
      try {
        if (!(await this.step())) return;
      } finally {
        leave();
      }
    }
  }

  /** One message. False when the run ends. Asked after the wait for a turn, which may have been long. */
  private async step(): Promise<boolean> {
    if (this.next >= this.work.size) return false;
    if (!this.mayContinue()) return false;
    const index = this.next++;
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
    const held = this.heldUntil > 0;
    return { state: 'pending', nextAt: this.stopped ? this.heldUntil : nextAt, trouble: this.trouble, held };
  }

  private async one(index: number, pending: readonly number[]): Promise<void> {
    const at = Date.now();
    if (this.control.isCancelled(index)) return this.all(index, pending, { kind: 'cancelled', at });
    if (this.work.expiresAt !== undefined && this.work.expiresAt <= at) {
      return this.all(index, pending, { kind: 'expired', at });
    }
    if (this.work.blocked !== undefined) return this.blocked(index, pending, this.work.blocked);
    try {
      const delivery = await this.send(index, pending);
      this.accepted(index, pending, delivery);
    } catch (error) {
      if (error instanceof MailDeliveryError) this.refused(index, pending, error);
      // It cannot be rendered or encoded: its own fault, and the others go on.
      else this.all(index, pending, { kind: 'failed', at: Date.now(), reply: describeFault(error) });
    }
  }

  private async send(index: number, pending: readonly number[]): Promise<Delivery> {
    const { work } = this;
    const { sender, headers, body } = await work.write(index);
    const recipients = work.recipients(index);
    const envelope = {
      from: envelopeAddress(sender),
      to: pending.map((recipient) => envelopeAddress(recipients[recipient]!)),
    };
    return deliver({ envelope, headers, body }, work.route, {
      id: messageId(work.id, index),
      lane: 'bulk',
      signal: this.control.signal,
      stillWanted: this.mayContinue,
      mayHandOver: this.isHeld,
    });
  }

  private accepted(index: number, pending: readonly number[], delivery: Delivery): void {
    const at = Date.now();
    const { transport, response, providerId } = delivery;
    const { rejections } = delivery;
    for (const recipient of pending) {
      const address = envelopeAddress(this.work.recipients(index)[recipient]!);
      const rejection = rejections.find((one) => one.address === address);
      if (rejection) this.rejected(index, recipient, transport, rejection);
      else {
        const slot = slotOf(this.work, index, recipient);
        this.ledger.add({ slot, at, kind: 'sent', transport, reply: response, ...(providerId ? { providerId } : {}) });
      }
    }
  }

  private refused(index: number, pending: readonly number[], error: MailDeliveryError): void {
    // Cut by us, not refused by anybody: it stays pending, and may be sent again.
    if (this.control.signal.aborted || (failureOf(error)?.phase === 'queue' && !this.mayContinue())) {
      this.stopped = true;
      return;
    }
    const failure = failureOf(error);
    if (!failure) return this.troubled(error.message, undefined);
    const { transport } = failure;
    if (failure.retryAt !== undefined) return this.held(failure.retryAt);
    if (failure.scope === 'transport') return this.troubled(failure.reply, transport);
    const rejections = new Map(failure.rejections.map((rejection) => [rejection.address, rejection]));
    for (const recipient of pending) {
      const address = envelopeAddress(this.work.recipients(index)[recipient]!);
      this.rejected(index, recipient, transport, rejections.get(address) ?? { ...failure, address });
    }
  }

  /** Waits for what is missing as for a transport, but not for ever. */
  private blocked(index: number, pending: readonly number[], reply: string): void {
    const { troubledSince } = this.ledger.view;
    const at = Date.now();
    if (at - (troubledSince ?? at) < this.policy.maxAge) this.troubled(reply, undefined);
    else this.all(index, pending, { kind: 'failed', at, reply });
  }

  /** The transports said when they take mail again: a rate limit, or a circuit that is open. Nobody is to blame. */
  private held(until: number): void {
    this.heldUntil = Math.max(this.heldUntil, until);
    this.stopped = true;
  }

  /** The transport's trouble: this message and those not yet tried stay pending, and no attempt is spent. */
  private troubled(reply: string, transport: string | undefined): void {
    if (!this.trouble) {
      this.ledger.add({ slot: '', at: Date.now(), kind: 'trouble', reply, ...(transport ? { transport } : {}) });
    }
    this.trouble = true;
    this.stopped = true;
  }

  private rejected(index: number, recipient: number, transport: string, rejection: Omit<Rejection, 'message'>): void {
    const slot = slotOf(this.work, index, recipient);
    const state = this.ledger.view.get(slot);
    const at = Date.now();
    const attempts = (state?.attempts ?? 0) + 1;
    const age = at - (state?.firstAt ?? at);
    const why = {
      transport,
      reply: rejection.reply,
      ...(rejection.replyCode === undefined ? {} : { replyCode: rejection.replyCode }),
      ...(rejection.enhancedCode === undefined ? {} : { enhancedCode: rejection.enhancedCode }),
    };
    if (rejection.permanent || attempts >= this.policy.attempts || age >= this.policy.maxAge) {
      this.ledger.add({ slot, at, kind: 'failed', ...why });
    } else {
      this.ledger.add({ slot, at, kind: 'deferred', until: at + pauseAfter(attempts, this.policy), ...why });
    }
  }

  private all(index: number, pending: readonly number[], fact: DistributiveOmit<Fact, 'slot'>): void {
    for (const recipient of pending) this.ledger.add({ ...fact, slot: slotOf(this.work, index, recipient) });
  }

  /** The places of the recipients that are to be tried now. */
  private due(index: number): number[] {
    const now = Date.now();
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

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** What ended the delivery; undefined when there was no transport to try. */
function failureOf(error: MailDeliveryError): TransportError | undefined {
  return error.cause as TransportError | undefined;
}

function describeFault(error: unknown): string {
  return error instanceof MailError ? error.message : `It could not be encoded: ${reasonOf(error)}`;
}
