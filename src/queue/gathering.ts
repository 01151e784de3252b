import { MailQueueUnavailableError } from '../errors.js';
import { messageId } from '../message/ids.js';
import type { Message, Travel } from '../message/message.js';
import { answered } from './answered.js';
import type { Attachment } from '../message/message.js';
import type { Batch, StoredAttachment } from './batch.js';
import type { Told } from './batch-events.js';
import type { Blobs } from './blobs.js';
import type { Flusher } from './flush.js';
import { addressBytesOf, bytesOf, type Packed, type Packing } from './packing.js';
import { queuedEvent } from './queued-event.js';

/** An attachment that is not in the store yet: as the batch has it until the flush, with its hash in place of its blob. */
interface NamedBlob {
  attachment: StoredAttachment;
  content: Buffer;
}

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
  /** Those that go into the store at the flush: what batches name. */
  private readonly named = new Set<string>();
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
    if (message.attachments.length > 0) this.stored.check();
    const blobs = message.attachments.map((attachment) => this.name(attachment));
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
      if (this.named.size > 0) {
        await this.flusher.reach();
        await answered(this.store(parts.flat()));
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

  private name({ content, ...rest }: Attachment): NamedBlob {
    const attachment = { ...rest, blob: this.stored.hashOf(content), bytes: content.length };
    return { attachment, content };
  }

  /** The attachments as a batch has them until the flush. Their bytes are kept here, each once. */
  private keep(blobs: readonly NamedBlob[]): StoredAttachment[] {
    return blobs.map((named) => {
      this.copyOf(named);
      this.named.add(named.attachment.blob);
      return named.attachment;
    });
  }

  /** Puts what is held into the store, and its names into the batches. */
  private async store(batches: readonly Batch[]): Promise<void> {
    const stored = new Map<string, string>();
    for (const hash of this.named) stored.set(hash, await this.stored.keep(this.held.get(hash)!));
    for (const batch of batches) {
      const attachments = batch.shared.attachments.map((one) => ({ ...one, blob: stored.get(one.blob)! }));
      batch.shared = { ...batch.shared, attachments };
    }
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
