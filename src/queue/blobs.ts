import { createHash } from 'node:crypto';
import type { Attachment } from '../message/message.js';
import type { Records } from '../store/records.js';
import { keys } from './keys.js';
import type { StoredAttachment } from './batch.js';

/** Kept for this long after the message that needs it is due; failed ones may be asked for until then. */
const KEPT_FOR = 31 * 24 * 3_600_000;

/** Attachments lie beside the queue under their hash, once however many batches name them. */
export class Blobs {
  constructor(private readonly records: Records) {}

  /** @param due when the last message that needs them is to leave; default now */
  async put(attachments: readonly Attachment[], due = Date.now()): Promise<StoredAttachment[]> {
    const stored: StoredAttachment[] = [];
    for (const { content, ...rest } of attachments) {
      const blob = createHash('sha256').update(content).digest('hex');
      const key = keys.blob(blob);
      const until = due + KEPT_FOR;
      const data = content.toString('base64');
      const created = await this.records.putIfAbsent(key, { data, until: String(until) }, until);
      if (!created) await this.extend(key, data, until);
      stored.push({ ...rest, blob });
    }
    return stored;
  }

  /** The bytes by their hash, and the first attachment that is gone. */
  async get(attachments: readonly StoredAttachment[]): Promise<{ blobs: Map<string, Buffer>; missing?: string }> {
    const blobs = new Map<string, Buffer>();
    const hashes = [...new Set(attachments.map(({ blob }) => blob))];
    if (hashes.length === 0) return { blobs };
    const found = await this.records.get(hashes.map(keys.blob));
    for (const [index, fields] of found.entries()) {
      const hash = hashes[index]!;
      const data = fields?.['data'];
      if (data === undefined) {
        return { blobs, missing: attachments.find(({ blob }) => blob === hash)?.filename ?? hash };
      }
      blobs.set(hash, Buffer.from(data, 'base64'));
    }
    return { blobs };
  }

  private async extend(key: string, data: string, until: number): Promise<void> {
    const [fields] = await this.records.get([key]);
    if (fields?.['data'] !== undefined && Number(fields['until']) >= until) return;
    // It may have expired a moment ago, so its bytes come along.
    await this.records.merge([{ key, fields: { data, until: String(until) } }]);
    await this.records.expire([key], until);
  }
}
