import { MailDeliveryError, MailError, MailQueueUnavailableError, reasonOf } from '../errors.js';
import type { MailEmitter } from '../events/emitter.js';
import { keyedId, messageIdHeader } from '../message/ids.js';
import type { Queueable } from '../queue/batch.js';
import { heldBytesOf, isKept, type Gathering, type Kept } from '../queue/gathering.js';
import type { Packed } from '../queue/packing.js';

/** The message waits for the request that sent it. It is queued when that succeeds, and unknown to the store until then. */
export interface CollectedReceipt {
  status: 'collected';
  id: string;
  messageId: string;
  lane: 'bulk';
}

export interface CollectionLimits {
  /** Messages. */
  max: number;
  /** About what holding them takes. Attachments are in the store. */
  maxBytes: number;
}

/** Queues a message under the id of its idempotency key, once. */
export type QueueOnce = (id: string, message: Queueable) => Promise<unknown>;

/** Claims that a flush has under way. */
const KEYED_AT_ONCE = 100;

type Keyed = Packed & { message: Kept };

/** The bulk mail of one request and one mailer: gathered while it is open, then flushed to the queue or discarded. */
export class Collection {
  private readonly keyed: Keyed[] = [];
  private messages = 0;
  private bytes = 0;
  private underWay = 0;
  private onIdle: (() => void) | undefined;

  constructor(
    private readonly gathering: Gathering,
    private readonly queueOnce: QueueOnce,
    private readonly limits: CollectionLimits,
    private readonly events: Pick<MailEmitter, 'emit'>,
  ) {}

  /** Nothing was sent into it. */
  get isEmpty(): boolean {
    return this.messages + this.underWay === 0;
  }

  /**
   * Takes a message that is being checked; it belongs to the collection from now on.
   *
   * @throws MailError (`COLLECTION_FULL`); what was collected before stays
   * @throws what keeping its attachments does
   */
  async add(checking: Promise<Queueable>): Promise<CollectedReceipt> {
    this.underWay++;
    try {
      const message = await checking;
      this.refuseIfFull();
      const kept = isKept(message) ? message : await this.gathering.keep(message);
      return { status: 'collected', ...this.put(kept), lane: 'bulk' };
    } finally {
      if (--this.underWay === 0) this.onIdle?.();
    }
  }

  /** @throws MailQueueUnavailableError with the ids of all that are not surely queued */
  async flush(): Promise<void> {
    if (this.underWay > 0) await new Promise<void>((resolve) => (this.onIdle = resolve));
    const { messages } = this;
    if (messages === 0) return;
    const started = performance.now();
    const failures = (await Promise.all([this.flushGathered(), this.queueKeyed()])).flat();
    if (failures.length > 0) throw flushError(failures);
    this.events.emit('collection-flushed', { messages, duration: performance.now() - started });
  }

  /** @param reason why what sent it has failed */
  discard(reason: string): void {
    if (this.messages > 0) this.events.emit('collection-discarded', { messages: this.messages, reason });
  }

  private async flushGathered(): Promise<Failure[]> {
    try {
      await this.gathering.flush();
      return [];
    } catch (error) {
      return [{ error, keyed: undefined }];
    }
  }

  /** Some at a time: a claim in line behind thousands would take the store for one that does not answer. */
  private async queueKeyed(): Promise<Failure[]> {
    const failures: Failure[] = [];
    const line = this.keyed.values();
    let away: MailQueueUnavailableError | undefined;
    const serve = async (): Promise<void> => {
      for (const keyed of line) {
        try {
          if (away) throw away;
          await this.queueOnce(keyed.id, keyed.message);
        } catch (error) {
          // Each would wait for the store again.
          if (error instanceof MailQueueUnavailableError) away = error;
          failures.push({ error, keyed });
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(KEYED_AT_ONCE, this.keyed.length) }, serve));
    return failures;
  }

  private put(message: Kept): Packed {
    this.refuseIfFull();
    const { maxBytes } = this.limits;
    const bytes = this.bytes + heldBytesOf(message);
    if (bytes > maxBytes) throw full(`would have ${bytes} bytes, more than collect.maxBytes (${maxBytes})`);
    this.messages++;
    this.bytes = bytes;
    if (message.idempotencyKey === undefined) return this.gathering.add(message);
    const id = keyedId(message.idempotencyKey);
    const packed = { id, messageId: messageIdHeader(id, message.from.address) };
    this.keyed.push({ ...packed, message });
    return packed;
  }

  private refuseIfFull(): void {
    const { max } = this.limits;
    if (this.messages >= max) throw full(`has ${max} messages, which is collect.max`);
  }
}

function full(what: string): MailError {
  const remedy = 'Use sendBulk() for so many, which holds a few batches in memory, or collect less at a time.';
  return new MailError(`The collection ${what}. ${remedy}`, { permanent: true, code: 'COLLECTION_FULL' });
}

interface Failure {
  error: unknown;
  /** The message that it is about; without one, the others. */
  keyed: Keyed | undefined;
}

function flushError(failures: readonly Failure[]): unknown {
  const unexpected = failures.find(({ error }) => !isExpected(error));
  if (unexpected) return unexpected.error;
  const ids = failures.flatMap(({ error, keyed }) => {
    if (keyed) return [keyed.id];
    return error instanceof MailQueueUnavailableError ? error.ids : [];
  });
  const [first] = failures;
  const outcome = failures.some(({ error }) => (error as MailError).outcome === 'unknown') ? 'unknown' : 'not-sent';
  const message = `${ids.length} collected messages could not be queued: ${reasonOf(first!.error)}`;
  return new MailQueueUnavailableError(message, { cause: first!.error, outcome, ids });
}

function isExpected(error: unknown): error is MailError {
  return error instanceof MailQueueUnavailableError || error instanceof MailDeliveryError;
}
