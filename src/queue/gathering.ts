import { MailQueueUnavailableError } from '../errors.js';
import { messageId } from '../message/ids.js';
import { answered } from './answered.js';
import type { Batch, Queueable, StoredAttachment } from './batch.js';
import type { Told } from './batch-events.js';
import type { Blobs } from './blobs.js';
import type { Flusher } from './flush.js';
import { addressBytesOf, bytesOf, type Packed, type Packing } from './packing.js';
import { queuedEvent } from './queued-event.js';

/** A message whose attachments are in the store. */
export type Kept = Omit<Queueable, 'attachments'> & { attachments: StoredAttachment[] };

export function isKept(message: Queueable): message is Kept {
  return message.attachments.every((attachment) => 'blob' in attachment);
}

/** Messages that are packed as they come and queued together at the end. Of them the store hears nothing before. */
export class Gathering {
  /** Those that listeners want to hear of. */
  private readonly told: { message: Kept; packed: Packed }[] = [];

  /** @param maxFlushBytes of one round trip to the store, about */
  constructor(
    private readonly flusher: Flusher,
    private readonly stored: Blobs,
    private readonly packing: Packing,
    private readonly maxFlushBytes: number,
    private readonly events: Told,
  ) {}

  /**
   * Puts its attachments into the store, where they wait for the flush: their streams end, and their buffers are their sender's
   * again. Those of a message that is not queued after all expire there.
   *
   * @throws MailConfigError | MailQueueUnavailableError
   * @throws MailValidationError an attachment cannot be read, or is too large
   */
  async keep(message: Queueable): Promise<Kept> {
    this.stored.check();
    await this.flusher.reach();
    return { ...message, attachments: await answered(this.stored.put(message.attachments)) };
  }

  add(message: Kept): Packed {
    const packed = this.packing.add(message, message.attachments);
    if (this.events.wants('queued')) this.told.push({ message, packed });
    return packed;
  }

  /**
   * Queues them: in one round trip up to `maxFlushBytes`, which is all or nothing; beyond in several, of which each is.
   *
   * @throws MailQueueUnavailableError with the ids of those that are not surely queued
   */
  async flush(): Promise<void> {
    const parts = [...this.packing.parts(this.maxFlushBytes)];
    // All at once: the store takes one in while the next is being written.
    const flushed = await Promise.allSettled(parts.map((part) => this.flusher.flush(part)));
    const failed = flushed.find(({ status }) => status === 'rejected');
    const lost = parts.filter((_, index) => flushed[index]!.status === 'rejected');
    this.tell(new Set(lost.flat().flatMap(idsOf)));
    if (failed) throw naming((failed as PromiseRejectedResult).reason, lost);
  }

  private tell(lost: ReadonlySet<string>): void {
    for (const { message, packed } of this.told) {
      if (!lost.has(packed.id)) this.events.emit('queued', queuedEvent(message, packed));
    }
  }
}

/** About what holding it takes, in bytes. */
export function heldBytesOf(message: Kept): number {
  const { headers, cc, bcc, replyTo, attachments } = message;
  let bytes = bytesOf(message) + addressBytesOf(cc) + addressBytesOf(bcc) + addressBytesOf(replyTo);
  for (const [name, value] of headers) bytes += name.length + Buffer.byteLength(value);
  return attachments.length === 0 ? bytes : bytes + JSON.stringify(attachments).length;
}

/** The same, with the ids of the messages in these batches. */
function naming(error: unknown, parts: readonly Batch[][]): unknown {
  if (!(error instanceof MailQueueUnavailableError)) return error;
  const { message, cause, outcome } = error;
  return new MailQueueUnavailableError(message, { cause, outcome, ids: parts.flat().flatMap(idsOf) });
}

function idsOf({ id, items }: Batch): string[] {
  return items.map((_, index) => messageId(id, index));
}
