import { createHash } from 'node:crypto';
import type { Attachment } from '../message/message.js';
import type { Records } from '../store/records.js';
import { lockedReason, type Sealer } from '../store/sealing.js';
import { keys } from './keys.js';
import type { StoredAttachment } from './batch.js';

/** Kept for this long after the message that needs it is due; failed ones may be asked for until then. */
const KEPT_FOR = 31 * 24 * 3_600_000;

/** Sealed ones are known by their name, which the batch has sealed: others cannot be put in their place. */
const SEALED = 'sealed-';

/** An attachment under its name, whose bytes are not in the store yet. */
export interface NamedBlob {
  attachment: StoredAttachment;
  content: Buffer;
  /** When the last message that needs it is to leave. */
  due: number;
}

/**
 * Attachments lie beside the queue under their hash, once however many batches name them. Where they are sealed the hash is
 * keyed, so that the store does not tell which file it is.
 */
export class Blobs {
  constructor(
    private readonly records: Records,
    private readonly sealer: Sealer,
  ) {}

  /** @param due when the last message that needs them is to leave; default now */
  async put(attachments: readonly Attachment[], due?: number): Promise<StoredAttachment[]> {
    const stored: StoredAttachment[] = [];
    for (const attachment of attachments) {
      const named = this.name(attachment, due);
      await this.keep(named);
      stored.push(named.attachment);
    }
    return stored;
  }

  /** An attachment as a batch names it, without asking the store. It has to be kept before the batch is queued. */
  name({ content, ...rest }: Attachment, due = Date.now()): NamedBlob {
    return { attachment: { ...rest, blob: this.nameOf(content) }, content, due };
  }

  /** Puts its bytes into the store, where they are not there already. */
  async keep({ attachment: { blob }, content, due }: NamedBlob): Promise<void> {
    const data = this.write(blob, content);
    const key = keys.blob(blob);
    const until = due + KEPT_FOR;
    const created = await this.records.putIfAbsent(key, { data, until: String(until) }, until);
    if (!created) await this.extend(key, data, until);
  }

  /** The bytes by their hash; or why one of them is not to be had. */
  async get(attachments: readonly StoredAttachment[]): Promise<{ blobs: Map<string, Buffer>; blocked?: string }> {
    const blobs = new Map<string, Buffer>();
    const hashes = [...new Set(attachments.map(({ blob }) => blob))];
    if (hashes.length === 0) return { blobs };
    const found = await this.records.get(hashes.map(keys.blob));
    for (const [index, fields] of found.entries()) {
      const hash = hashes[index]!;
      const content = this.read(hash, fields?.['data']);
      if (!Buffer.isBuffer(content)) {
        const name = attachments.find(({ blob }) => blob === hash)?.filename ?? hash;
        return { blobs, blocked: content.blocked(`The attachment ${name}`) };
      }
      blobs.set(hash, content);
    }
    return { blobs };
  }

  private nameOf(content: Buffer): string {
    if (!this.sealer.seals) return createHash('sha256').update(content).digest('hex');
    return SEALED + this.sealer.nameOf(content);
  }

  private write(blob: string, content: Buffer): string {
    return this.sealer.seals ? this.sealer.seal(content, keys.blob(blob)) : content.toString('base64');
  }

  /** The bytes, or a sentence about why they are not to be had. */
  private read(blob: string, data: string | undefined): Buffer | { blocked: (what: string) => string } {
    if (data === undefined) return { blocked: (what) => `${what} is not in the store any more` };
    if (!blob.startsWith(SEALED)) return Buffer.from(data, 'base64');
    const opened = this.sealer.open(data, keys.blob(blob));
    switch (opened.state) {
      case 'open':
        return opened.content;
      case 'locked':
        return { blocked: (what) => lockedReason(what, opened.keyId) };
      case 'damaged':
        return { blocked: (what) => `${what} cannot be decrypted: it was changed in the store` };
    }
  }

  private async extend(key: string, data: string, until: number): Promise<void> {
    const [fields] = await this.records.get([key]);
    if (fields?.['data'] !== undefined && Number(fields['until']) >= until) return;
    // It may expire at any moment, so bytes come along: those that are there as long as they are, since others rely on them.
    await this.records.merge([{ key, fields: { data: fields?.['data'] ?? data, until: String(until) } }]);
    await this.records.expire([key], until);
  }
}
