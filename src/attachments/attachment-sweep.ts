import type { Records } from '../store/records.js';
import type { AttachmentStore, StoredBlob } from './attachment-store.js';
import { HELD, nameKey, type Attachments } from './attachments.js';
import { readBlobName } from './blob-name.js';

const HOUR = 3_600_000;
/** Of one process among all. */
const EVERY = HOUR;
/** Clocks differ. */
const GRACE = HOUR;
const PAGE = 500;

const TURN = 'attachments/sweep';

/** Deletes what nobody needs any more. Any number of processes may do so at once. */
export class AttachmentSweep {
  constructor(
    private readonly store: AttachmentStore,
    private readonly attachments: Pick<Attachments, 'leases' | 'marker'>,
    private readonly records: Records,
    private readonly expireAfter: number,
  ) {}

  /** True once an hour, in one of the processes. */
  takeTurn(now: number): Promise<boolean> {
    return this.records.putIfAbsent(TURN, { at: String(now) }, now + EVERY);
  }

  /**
   * Returns how many blobs went. Those of other queues that share the store stay.
   *
   * @throws MailConfigError when the store is not the queue's
   */
  async run(now: number): Promise<number> {
    const queue = await this.attachments.marker?.look();
    if (queue === undefined) return 0;
    const [held] = await this.records.get([HELD]);
    if (held) return 0;
    let deleted = 0;
    let page: StoredBlob[] = [];
    for await (const blob of this.store.list()) {
      if (readBlobName(blob.name)?.queue !== queue) continue;
      if (page.push(blob) < PAGE) continue;
      deleted += await this.look(page, now);
      page = [];
    }
    deleted += await this.look(page, now);
    await this.tidy(now);
    return deleted;
  }

  private async look(blobs: readonly StoredBlob[], now: number): Promise<number> {
    if (blobs.length === 0) return 0;
    const leases = await this.attachments.leases.get(blobs.map(({ name }) => name));
    const before = now - GRACE;
    const going: string[] = [];
    for (const { name, writtenAt } of blobs) {
      // What was never leased is of a queue whose records were lost.
      const until = leases.get(name)?.until ?? writtenAt + this.expireAfter;
      if (until < before && (await this.attachments.leases.condemn(name, before, now))) going.push(name);
    }
    await this.store.delete(going);
    const hashes = going.flatMap((name) => readBlobName(name)?.hash ?? []);
    await this.records.delete(hashes.map(nameKey));
    return going.length;
  }

  /** Leases of blobs that are gone, or were never written, and what their content was known by. */
  private async tidy(now: number): Promise<void> {
    const { leases } = this.attachments;
    let page: string[] = [];
    const look = async (): Promise<void> => {
      const spent = [...(await leases.get(page))].filter(([, lease]) => leases.isSpent(lease, now));
      page = [];
      if (spent.length === 0) return;
      const blobs = spent.map(([blob]) => blob);
      const there = await this.store.find(blobs);
      const gone = blobs.filter((blob) => !there.has(blob));
      await this.forgetNames(gone);
      await leases.forget(gone);
    };
    for await (const blob of leases.blobs()) if (page.push(blob) >= PAGE) await look();
    await look();
  }

  /** A lifecycle rule may have removed the blob long before. Another one of the same content keeps its name. */
  private async forgetNames(blobs: readonly string[]): Promise<void> {
    const hashes = blobs.flatMap((blob) => readBlobName(blob)?.hash ?? []);
    if (hashes.length === 0) return;
    const names = await this.records.get(hashes.map(nameKey));
    const own = new Set(blobs);
    const theirs = hashes.filter((_, index) => own.has(names[index]?.['blob'] ?? ''));
    await this.records.delete(theirs.map(nameKey));
  }
}
