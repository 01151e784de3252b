import { buffer } from 'node:stream/consumers';
import type { Attachments } from '../attachments/attachments.js';
import { BlobUnavailable } from '../attachments/blob-unavailable.js';
import type { Attachment } from '../message/message.js';
import type { StoredAttachment } from './batch.js';

/** The attachments of messages on their way into the attachment store and out of it. */
export class Blobs {
  constructor(private readonly attachments: Attachments) {}

  async put(attachments: readonly Attachment[]): Promise<StoredAttachment[]> {
    const stored: StoredAttachment[] = [];
    for (const { content, ...rest } of attachments) {
      stored.push({ ...rest, ...(await this.attachments.keep(content)) });
    }
    return stored;
  }

  /** @throws MailConfigError when no attachment store is named, so that nothing can be kept */
  check(): void {
    this.attachments.check();
  }

  /** What the content is known by before it is put: the same for the same content. */
  hashOf(content: Buffer): string {
    return this.attachments.hashOf(content);
  }

  /** Puts content alone. Returns its blob's name. */
  async keep(content: Buffer): Promise<string> {
    return (await this.attachments.keep(content)).blob;
  }

  /** They are needed still, as from now. */
  async renew(blobs: readonly string[]): Promise<void> {
    const now = Date.now();
    await this.attachments.renew(new Map(blobs.map((blob) => [blob, now])));
  }

  /** The bytes by their blobs' names; or why one of them is not to be had. */
  async get(attachments: readonly StoredAttachment[]): Promise<{ blobs: Map<string, Buffer>; blocked?: string }> {
    const blobs = new Map<string, Buffer>();
    for (const { blob, filename = blob } of attachments) {
      if (blobs.has(blob)) continue;
      try {
        blobs.set(blob, await buffer(await this.attachments.read(blob)));
      } catch (error) {
        if (!(error instanceof BlobUnavailable)) throw error;
        return { blobs, blocked: `The attachment ${filename} ${error.message}` };
      }
    }
    return { blobs };
  }
}
