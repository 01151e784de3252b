import type { Hash } from 'node:crypto';
import type { Attachments, KeptBlob } from '../attachments/attachments.js';
import { BlobUnavailable } from '../attachments/blob-unavailable.js';
import { inPieces } from '../attachments/spool.js';
import { readEach } from '../message/attachments.js';
import type { AcceptedAttachment } from '../message/message.js';
import type { Queueable, StoredAttachment } from './batch.js';
import { EncodedBlobs } from './encoded-blobs.js';
import { Semaphore } from './semaphore.js';

/** Streams and files. Each takes descriptors and room for what lies on the disk meanwhile. */
export const READ_AT_ONCE = 16;

/** The attachments of messages on their way into the attachment store and out of it. */
export class Blobs {
  private readonly encoded: EncodedBlobs;
  private readonly reading = new Semaphore(READ_AT_ONCE);

  constructor(private readonly attachments: Attachments) {
    this.encoded = new EncodedBlobs((blob) => attachments.read(blob));
  }

  /**
   * Puts what is not there yet. What is not at hand goes through in bounded memory.
   *
   * @param digest told their names and all that they contain
   * @throws MailConfigError | MailQueueUnavailableError as `Attachments.keep` does
   * @throws MailValidationError one cannot be read, or is too large
   */
  put(attachments: Queueable['attachments'], digest?: Hash): Promise<StoredAttachment[]> {
    return readEach(attachments, async (attachment) => {
      if ('blob' in attachment) return attachment;
      const { content, ...rest } = attachment;
      digest?.update(rest.filename ?? '');
      return { ...rest, ...(await this.keep(digest ? await digested(content, digest) : content)) };
    });
  }

  private async keep(content: Buffer | AsyncIterable<Buffer>): Promise<KeptBlob> {
    if (Buffer.isBuffer(content)) return this.attachments.keep(content);
    const leave = await this.reading.enter();
    try {
      return await this.attachments.keep(content);
    } finally {
      leave();
    }
  }

  /** @throws MailConfigError when no attachment store is named, so that nothing can be kept */
  check(): void {
    this.attachments.check();
  }

  /** They are needed still, as from now. */
  async renew(blobs: readonly string[]): Promise<void> {
    const now = Date.now();
    await this.attachments.renew(new Map(blobs.map((blob) => [blob, now])));
  }

  /** Nobody knows which of them are needed. */
  async holdAll(): Promise<void> {
    await this.attachments.holdAll();
  }

  /** What they are in messages, base64 in lines, by their blobs' names; or why one of them is not to be had. */
  async get(attachments: readonly StoredAttachment[]): Promise<{ blobs: Map<string, Buffer>; blocked?: string }> {
    const blobs = new Map<string, Buffer>();
    for (const { blob, bytes, filename = blob } of attachments) {
      if (blobs.has(blob)) continue;
      try {
        blobs.set(blob, await this.encoded.get(blob, bytes));
      } catch (error) {
        if (!(error instanceof BlobUnavailable)) throw error;
        return { blobs, blocked: `The attachment ${filename} ${error.message}` };
      }
    }
    return { blobs };
  }
}

/** The same content, which a hash is told as it is read. */
async function digested(content: AcceptedAttachment['content'], digest: Hash): Promise<Buffer | AsyncIterable<Buffer>> {
  if (!Buffer.isBuffer(content)) return digestedChunks(content, digest);
  for await (const piece of inPieces(content)) digest.update(piece);
  return content;
}

async function* digestedChunks(chunks: AsyncIterable<Buffer>, digest: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    digest.update(chunk);
    yield chunk;
  }
}
