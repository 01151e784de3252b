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
      const created = await this.records.putIfAbsent(
        key,
        { data: content.toString('base64'), until: String(until) },
        until,
      );
      if (!created) await this.extend(key, until);
      stored.push({ ...rest, blob, bytes: content.length });
    }
    return stored;
  }

  /** @throws Error naming the attachment that is gone */
  async get(attachments: readonly StoredAttachment[]): Promise<Map<string, Buffer>> {
    const hashes = [...new Set(attachments.map(({ blob }) => blob))];
    if (hashes.length === 0) return new Map();
    const found = await this.records.get(hashes.map(keys.blob));
    return new Map(
      found.map((fields, index) => {
        const data = fields?.['data'];
        if (data === undefined) {
          const name = attachments.find(({ blob }) => blob === hashes[index])?.filename ?? hashes[index];
          throw new Error(`The attachment ${name} is not in the store any more`);
        }
        return [hashes[index]!, Buffer.from(data, 'base64')];
      }),
    );
  }

  private async extend(key: string, until: number): Promise<void> {
    const [fields] = await this.records.get([key]);
    if (Number(fields?.['until'] ?? 0) >= until) return;
    await this.records.merge([{ key, fields: { until: String(until) } }]);
    await this.records.expire([key], until);
  }
}
