import { MailQueueUnavailableError } from '../errors.js';
import { splitMessageId } from '../message/ids.js';
import { answered } from './answered.js';
import type { Batch, Queueable, StoredAttachment } from './batch.js';
import type { Told } from './batch-events.js';
import type { Blobs } from './blobs.js';
import type { Flusher } from './flush.js';
import { Gathering } from './gathering.js';
import { GroupCommit } from './group-commit.js';
import type { BatchLimits } from './packer.js';
import { bytesOf, Packing, type OwnBatch, type Packed } from './packing.js';
import { queuedEvent } from './queued-event.js';

/** The message is durably in the queue. It has not been sent yet. */
export interface QueuedReceipt {
  status: 'queued';
  id: string;
  messageId: string;
  lane: 'bulk';
}

interface Pending {
  message: Queueable;
  own?: OwnBatch;
  attachments: StoredAttachment[];
  bytes: number;
  packed?: Packed;
  /** What is wrong with its batch alone. */
  failure?: Error;
}

/** Of one round trip to the store, about. */
export const MAX_FLUSH_BYTES = 4 * 1024 * 1024;
/** A message of more may have to go into the attachment store, which nobody else is to wait for. */
const LARGE = 512 * 1024;

/** Queues single messages. Those that are sent while a flush is under way share the next one. */
export class Producer {
  private readonly commit: GroupCommit<Pending>;
  /** Large messages that are being written. */
  private readonly large = new Set<Promise<void>>();

  constructor(
    private readonly flusher: Flusher,
    private readonly blobs: Blobs,
    private readonly limits: BatchLimits,
    private readonly events: Told,
  ) {
    this.commit = new GroupCommit(
      (group) => this.write(group),
      ({ bytes }) => bytes,
      MAX_FLUSH_BYTES,
    );
  }

  /**
   * @param own for a message that has an id of its own and travels in a batch of its own; the same id again is the same batch
   * @throws MailQueueUnavailableError
   * @throws MailValidationError an attachment cannot be read, or is too large
   */
  async send(message: Queueable, own?: OwnBatch): Promise<QueuedReceipt> {
    if (message.attachments.length > 0) {
      this.blobs.check();
      await this.flusher.reach();
    }
    const pending: Pending = {
      message,
      ...(own ? { own } : {}),
      attachments: await answered(this.blobs.put(message.attachments)),
      bytes: bytesOf(message),
    };
    await (pending.bytes > LARGE ? this.writeLarge(pending) : this.commit.add(pending));
    if (pending.failure) throw pending.failure;
    return { status: 'queued', ...pending.packed!, lane: 'bulk' };
  }

  /** For messages that are queued together, later. */
  gather(): Gathering {
    return new Gathering(this.flusher, this.blobs, new Packing(this.limits), MAX_FLUSH_BYTES, this.events);
  }

  /** Resolves when everything accepted so far has been written or refused. */
  async idle(): Promise<void> {
    await this.commit.idle();
    while (this.large.size > 0) await Promise.allSettled(this.large);
  }

  private writeLarge(pending: Pending): Promise<void> {
    const writing = this.write([pending]).finally(() => this.large.delete(writing));
    this.large.add(writing);
    return writing;
  }

  private async write(group: readonly Pending[]): Promise<void> {
    const packing = new Packing(this.limits);
    for (const pending of group) pending.packed = packing.add(pending.message, pending.attachments, pending.own);
    const { batches } = packing;
    try {
      await this.flush(batches, group);
    } catch (error) {
      if (batches.length === 1 || error instanceof MailQueueUnavailableError) throw error;
      await this.flushEach(batches, group);
    }
    if (!this.events.wants('queued')) return;
    for (const { message, packed, own, failure } of group) {
      if (!failure) this.events.emit('queued', queuedEvent(message, packed!, own));
    }
  }

  /** One of them cannot be queued, such as for an attachment that has gone: the others are not to fail with it. */
  private async flushEach(batches: readonly Batch[], group: readonly Pending[]): Promise<void> {
    for (const batch of batches) {
      const inside = group.filter(({ packed }) => splitMessageId(packed!.id)?.batch === batch.id);
      try {
        await this.flush([batch], inside);
      } catch (error) {
        for (const pending of inside) pending.failure = error as Error;
      }
    }
  }

  private async flush(batches: readonly Batch[], group: readonly Pending[]): Promise<void> {
    try {
      await this.flusher.flush(batches);
    } catch (error) {
      if (!(error instanceof MailQueueUnavailableError)) throw error;
      const ids = group.flatMap(({ packed }) => (packed ? [packed.id] : []));
      throw new MailQueueUnavailableError(error.message, { cause: error.cause, outcome: error.outcome, ids });
    }
  }
}
