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
  async put(attachments: readonly Attachment[], due = Date.now()): Promise<StoredAttachment[]> {
    const stored: StoredAttachment[] = [];
    for (const { content, ...rest } of attachments) {
      const { blob, data } = this.write(content);
      const key = keys.blob(blob);
      const until = due + KEPT_FOR;
      const created = await this.records.putIfAbsent(key, { data, until: String(until) }, until);
      if (!created) await this.extend(key, data, until);
      stored.push({ ...rest, blob });
    }
    return stored;
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

  private write(content: Buffer): { blob: string; data: string } {
    if (!this.sealer.seals) {
      return { blob: createHash('sha256').update(content).digest('hex'), data: content.toString('base64') };
    }
    const blob = SEALED + this.sealer.nameOf(content);
    return { blob, data: this.sealer.seal(content, keys.blob(blob)) };
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
    // It may have expired a moment ago, so its bytes come along.
    await this.records.merge([{ key, fields: { data, until: String(until) } }]);
    await this.records.expire([key], until);
  }
}
