import { MailQueueUnavailableError } from '../errors.js';
import { messageId } from '../message/ids.js';
import type { Message, Travel } from '../message/message.js';
import { answered } from './answered.js';
import type { Batch } from './batch.js';
import type { Told } from './batch-events.js';
import type { Blobs, NamedBlob } from './blobs.js';
import type { Flusher } from './flush.js';
import { addressBytesOf, bytesOf, type Packed, type Packing } from './packing.js';
import { queuedEvent } from './queued-event.js';

/** A message with its attachments under their names, and what holding it takes. */
export interface Weighed {
  message: Message & Travel;
  blobs: readonly NamedBlob[];
  /** About; an attachment that is held already takes none. */
  bytes: number;
}

/** Messages that are packed as they come and queued together at the end. The store hears nothing of them before. */
export class Gathering {
  /** Copies, by their names: the sender may use its buffers for something else before the flush. */
  private readonly held = new Map<string, Buffer>();
  /** What goes into the store at the flush. */
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

  weigh(message: Message & Travel): Weighed {
    const blobs = message.attachments.map((attachment) => this.stored.name(attachment, message.sendAt));
    const fresh = new Map<string, number>();
    for (const { attachment, content } of blobs) {
      if (!this.held.has(attachment.blob)) fresh.set(attachment.blob, content.length);
    }
    const bytes = [...fresh.values()].reduce((sum, length) => sum + length, heldBytesOf(message));
    return { message, blobs, bytes };
  }

  /** In the same turn of the event loop that it was weighed in, as the names are those of the bytes. */
  add({ message, blobs }: Weighed): Packed {
    const packed = this.packing.add(message, blobs.length === 0 ? [] : this.keep(blobs));
    if (this.events.wants('queued')) this.told.push({ message, packed });
    return packed;
  }

  /** The message as it is now, for one that is queued by itself later. In the same turn as `add`. */
  hold({ message, blobs }: Weighed): Message & Travel {
    if (blobs.length === 0) return message;
    const attachments = message.attachments.map((attachment, index) => ({
      ...attachment,
      content: this.copyOf(blobs[index]!),
    }));
    return { ...message, attachments };
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

  /** The attachments as a batch names them. Their bytes are kept here until the flush, each once. */
  private keep(blobs: readonly NamedBlob[]): NamedBlob['attachment'][] {
    return blobs.map((named) => {
      const { attachment, due } = named;
      const known = this.blobs.get(attachment.blob);
      if (!known || known.due < due) this.blobs.set(attachment.blob, { ...named, content: this.copyOf(named) });
      return attachment;
    });
  }

  private copyOf({ attachment: { blob }, content }: NamedBlob): Buffer {
    const held = this.held.get(blob) ?? Buffer.from(content);
    this.held.set(blob, held);
    return held;
  }
}

/** Without its attachments. */
function heldBytesOf(message: Message): number {
  const { headers, cc, bcc, replyTo } = message;
  let bytes = bytesOf(message) + addressBytesOf(cc) + addressBytesOf(bcc) + addressBytesOf(replyTo);
  for (const [name, value] of headers) bytes += name.length + Buffer.byteLength(value);
  return bytes;
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
