import { MailQueueUnavailableError } from '../errors.js';
import { messageId } from '../message/ids.js';
import type { Message, Travel } from '../message/message.js';
import { answered } from './answered.js';
import type { Batch } from './batch.js';
import type { Told } from './batch-events.js';
import type { Blobs, NamedBlob } from './blobs.js';
import type { Flusher } from './flush.js';
import type { Packed, Packing } from './packing.js';
import { queuedEvent } from './queued-event.js';

/** Messages that are packed as they come and queued together at the end. The store hears nothing of them before. */
export class Gathering {
  private readonly blobs = new Map<string, NamedBlob>();
  /** Those that listeners want to hear of. */
  private readonly told: { message: Message & Travel; packed: Packed }[] = [];

  /** @param maxFlushBytes of one round trip to the store, about */
  constructor(
    private readonly flusher: Flusher,
    private readonly stored: Blobs,
    private readonly packing: Packing,
    private readonly maxFlushBytes: number,
    private readonly events: Told,
  ) {}

  add(message: Message & Travel): Packed {
    const packed = this.packing.add(message, message.attachments.length === 0 ? [] : this.name(message));
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
    try {
      if (this.blobs.size > 0) {
        await this.flusher.reach();
        await answered(Promise.all([...this.blobs.values()].map((blob) => this.stored.keep(blob))));
      }
    } catch (error) {
      throw naming(error, parts);
    }
    // All at once: the store takes one in while the next is being written.
    const flushed = await Promise.allSettled(parts.map((part) => this.flusher.flush(part)));
    const failed = flushed.findIndex(({ status }) => status === 'rejected');
    if (failed >= 0) {
      const lost = parts.filter((_, index) => flushed[index]!.status === 'rejected');
      throw naming((flushed[failed] as PromiseRejectedResult).reason, lost);
    }
    for (const { message, packed } of this.told) this.events.emit('queued', queuedEvent(message, packed));
  }

  /** Its attachments as a batch names them. Their bytes are kept here until the flush, each once. */
  private name({ attachments, sendAt }: Message & Travel): NamedBlob['attachment'][] {
    return attachments.map((attachment) => {
      const named = this.stored.name(attachment, sendAt);
      const { blob } = named.attachment;
      const known = this.blobs.get(blob);
      if (!known || known.due < named.due) this.blobs.set(blob, named);
      return named.attachment;
    });
  }
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
