import { createHash, type Hash, type Hmac } from 'node:crypto';
import { Readable } from 'node:stream';
import { MailConfigError, MailError, MailQueueUnavailableError, reasonOf } from '../errors.js';
import { putNewest } from '../newest.js';
import type { Records } from '../store/records.js';
import type { Sealer } from '../store/sealing.js';
import type { AttachmentStore } from './attachment-store.js';
import { newBlobName, readBlobName } from './blob-name.js';
import { BlobUnavailable } from './blob-unavailable.js';
import { Leases } from './leases.js';
import { Marker } from './marker.js';
import { asBuffer, damaged, open } from './sealed-stream.js';
import { PIECE, SEALED, spool, type Spooled } from './spool.js';

/** Content that is in the store. */
export interface KeptBlob {
  /** The name by which batches know it. */
  blob: string;
  /** Of the content itself, which is shorter than what is stored where that is sealed. */
  bytes: number;
}

/** Times are milliseconds; Infinity is for ever. */
export interface AttachmentSettings {
  /** How long a blob stays after its last need. */
  expireAfter: number;
  /** How long after it was due a message may need its attachments: while it is tried, and while failed ones may be retried. */
  neededFor: number;
  /** The id of a queue whose store was lost, and whose place this one takes. */
  adopt?: string;
}

const DAY = 24 * 3_600_000;
/** Content that was found in the store is taken to be there for this long. */
const SURELY_THERE = 60_000;
const MAX_KNOWN = 10_000;
/** Nobody new relies on a blob that is older, so that a bucket's lifecycle rule can tell by its age that nobody needs it. */
const RELIED_ON_FOR = 30 * DAY;

const UNNAMED =
  'Queued mail has attachments, and attachments.store is not set in this process. Set it to the store that the other processes have.';

/** That somebody needs blobs and cannot tell which. */
export const HELD = 'attachments/held';
/** Longer than a batch that waits for its key or its content goes unread in a queue whose worker is not behind. */
const HELD_FOR = 2 * DAY;

/** Where the names of content are, for the same to be stored once. A hint: without it there are two copies. */
export const nameKey = (hash: string): string => `attachments/name/${hash}`;

/**
 * Keeps content in the attachment store, the same content once, encrypted where the queue is; and gives it back.
 *
 * What is kept is leased. Whoever queues a batch calls `lease` for its blobs first.
 */
export class Attachments {
  readonly leases: Leases;
  readonly marker: Marker | undefined;
  private readonly known = new Map<string, { blob: string; at: number }>();
  private told = false;
  private lastSpooled: Promise<unknown> = Promise.resolve();
  private readonly keeping = new Map<string, Promise<string>>();

  /** @param store undefined where none is named: then nothing can be kept */
  constructor(
    readonly store: AttachmentStore | undefined,
    private readonly records: Records,
    private readonly sealer: Sealer,
    private readonly settings: AttachmentSettings,
    private readonly onError: (error: Error) => void = () => undefined,
  ) {
    this.leases = new Leases(records);
    this.marker = store && new Marker(store, records, settings.adopt);
  }

  /**
   * Keeps the content, unless it is there. It stays for a day at least, and for `attachments.expireAfter`; `lease` makes it stay
   * for as long as a batch needs it.
   *
   * An iterable is read to its end in bounded memory; what it throws is thrown.
   *
   * @throws MailConfigError when no store is named, or it is not the one that the queue's other processes have
   * @throws MailQueueUnavailableError when the store cannot be used
   */
  async keep(content: Buffer | AsyncIterable<Uint8Array>): Promise<KeptBlob> {
    const store = this.named();
    const spooled = await this.spool(content);
    try {
      const { hash, bytes } = spooled;
      const under = this.keeping.get(hash);
      if (under) return { blob: await under, bytes };
      const keeping = this.keepOnce(store, spooled);
      this.keeping.set(hash, keeping);
      try {
        return { blob: await keeping, bytes };
      } finally {
        this.keeping.delete(hash);
      }
    } finally {
      await spooled.dispose();
    }
  }

  /**
   * The content of a blob. It ends in an error when it is not what was kept: nothing of it may leave before it has ended well.
   *
   * @throws BlobUnavailable, as does the stream
   */
  async read(blob: string): Promise<Readable> {
    const { store, marker } = this;
    if (!store || !marker) {
      this.tell(new MailConfigError(UNNAMED));
      throw new BlobUnavailable('elsewhere', `is not here: ${UNNAMED}`);
    }
    let stored: Readable | undefined;
    try {
      await marker.look();
      stored = await store.read(blob);
    } catch (error) {
      if (!(error instanceof MailConfigError)) throw away(store, error);
      this.tell(error);
      throw new BlobUnavailable('elsewhere', `is not here: ${error.message}`);
    }
    if (!stored) throw new BlobUnavailable('missing', `is not in the attachment store ${store.location} any more`);
    const source = stored;
    // A generator that was never begun has nothing to clean up.
    return Readable.from(this.verified(blob, store, source), { objectMode: false }).once('close', () =>
      source.destroy(),
    );
  }

  /**
   * Renews the leases of blobs that a batch needs, before it is queued.
   *
   * @param due when the batch is
   * @throws MailError when one of them was removed meanwhile, which takes a day
   */
  async lease(blobs: ReadonlyMap<string, number>): Promise<void> {
    const condemned = await this.renew(blobs);
    if (condemned.size === 0) return;
    throw new MailError(
      'An attachment was removed from the attachment store before its mail was queued. Send the mail again.',
      { permanent: false, code: 'ATTACHMENT_GONE' },
    );
  }

  /** The same for batches that are queued already. Returns the blobs that may go all the same. */
  renew(dues: ReadonlyMap<string, number>): Promise<Set<string>> {
    const { neededFor, expireAfter } = this.settings;
    const wanted = new Map<string, number>();
    for (const [blob, due] of dues) {
      const needed = Math.max(due, Date.now()) + neededFor;
      // Longer than it is needed, so that it is not renewed at every use.
      if (!this.leases.holds(blob, needed)) wanted.set(blob, needed + expireAfter);
    }
    return this.leases.renew(wanted);
  }

  /** For a batch that is queued and cannot be read now: for two days no blob of the queue goes, whatever its lease. */
  async holdAll(): Promise<void> {
    const now = Date.now();
    await this.records.merge([{ key: HELD, fields: { at: String(now) }, expiresAt: now + HELD_FOR }]);
  }

  /** Whether the store is the queue's; tells it where not. For boot, so that it is known before the first mail waits. */
  async inspect(): Promise<void> {
    await this.marker?.look().catch((error: unknown) => {
      if (error instanceof MailConfigError) this.tell(error);
    });
  }

  /** @throws MailConfigError when no store is named */
  check(): void {
    this.named();
  }

  private named(): AttachmentStore {
    if (this.store) return this.store;
    throw new MailConfigError(
      "A mail with an attachment cannot be queued, since attachments.store is not set. Set it to 's3://bucket/prefix', or to 'file:///folder' on a disk that all processes share.",
    );
  }

  /** Large Buffers in turns: any number of them may come at once, and hashing computes. */
  private spool(content: Buffer | AsyncIterable<Uint8Array>): Promise<Spooled> {
    if (!Buffer.isBuffer(content) || content.length <= PIECE) return spool(content, this.sealer);
    const spooled = this.lastSpooled.then(() => spool(content, this.sealer));
    this.lastSpooled = spooled.catch(() => undefined);
    return spooled;
  }

  /** Once: every batch with an attachment finds it out anew. */
  private tell(error: MailConfigError): void {
    if (this.told) return;
    this.told = true;
    this.onError(error);
  }

  private async keepOnce(store: AttachmentStore, spooled: Spooled): Promise<string> {
    const { hash } = spooled;
    const until = Date.now() + Math.max(DAY, this.settings.expireAfter);
    const known = this.known.get(hash);
    if (known && Date.now() - known.at < SURELY_THERE && this.leases.holds(known.blob, until - DAY)) return known.blob;
    let blob: string;
    try {
      blob = (await this.find(store, spooled, until)) ?? (await this.write(store, spooled, until));
    } catch (error) {
      if (error instanceof MailError) throw error;
      throw new MailQueueUnavailableError(
        `The attachment store ${store.location} cannot be used: ${reasonOf(error)}. Check attachments.store.`,
        { cause: error },
      );
    }
    putNewest(this.known, hash, { blob, at: Date.now() }, MAX_KNOWN);
    return blob;
  }

  /** Content that is in the store already, leased anew. */
  private async find(
    store: AttachmentStore,
    { hash, storedBytes }: Spooled,
    until: number,
  ): Promise<string | undefined> {
    const queue = await this.marker!.claim();
    const [fields] = await this.records.get([nameKey(hash)]);
    const blob = fields?.['blob'];
    if (blob === undefined || readBlobName(blob)?.queue !== queue) return undefined;
    if ((await this.leases.renew(new Map([[blob, until]]))).size > 0) return undefined;
    const { bytes, writtenAt = 0 } = (await store.find([blob])).get(blob) ?? {};
    return bytes === storedBytes && Date.now() - writtenAt < RELIED_ON_FOR ? blob : undefined;
  }

  /** Under a name that was never used: a sweep that stood still may yet delete a blob of an older name. */
  private async write(store: AttachmentStore, spooled: Spooled, until: number): Promise<string> {
    const { hash, storedBytes } = spooled;
    const blob = newBlobName(await this.marker!.claim(), hash);
    await this.leases.renew(new Map([[blob, until]]));
    // A store cannot repeat a stream by itself.
    const write = (): Promise<void> => store.write(blob, spooled.read(), storedBytes);
    await write().catch(write);
    await this.records.merge([{ key: nameKey(hash), fields: { blob } }]);
    return blob;
  }

  private async *verified(blob: string, store: AttachmentStore, stored: Readable): AsyncGenerator<Buffer> {
    const expected = readBlobName(blob)?.hash;
    const sealed = expected?.startsWith(SEALED) === true;
    let hash: Hash | Hmac = createHash('sha256');
    const content = sealed
      ? open(available(store, stored), this.sealer, (keyId) => (hash = this.sealer.naming(keyId)!))
      : available(store, stored);
    for await (const chunk of content) {
      hash.update(chunk);
      yield chunk;
    }
    if (`${sealed ? SEALED : ''}${hash.digest('hex')}` === expected) return;
    if (sealed) throw damaged();
    throw new BlobUnavailable('damaged', 'is not what was stored: it was changed in the store');
  }
}

async function* available(store: AttachmentStore, stored: Readable): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stored) yield asBuffer(chunk as Uint8Array);
  } catch (error) {
    throw away(store, error);
  } finally {
    stored.destroy();
  }
}

function away(store: AttachmentStore, error: unknown): BlobUnavailable {
  return new BlobUnavailable(
    'away',
    `cannot be read now: the attachment store ${store.location} failed: ${reasonOf(error)}`,
    { cause: error },
  );
}
