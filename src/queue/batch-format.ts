import { buffer } from 'node:stream/consumers';
import type { Attachments } from '../attachments/attachments.js';
import { BlobUnavailable } from '../attachments/blob-unavailable.js';
import { MailConfigError, MailError } from '../errors.js';
import { lockedReason, type Sealer } from '../store/sealing.js';
import { condense, expand, type CondensedContent, type Pieces } from './condensed.js';
import { BATCH_VERSION, readBatch, RENDERED_VERSION, type Batch, type BatchContent, type BatchHead } from './batch.js';

/** A batch of format version 2 whose content is sealed. From version 4 on, one that is sealed has the same version. */
export const SEALED_VERSION = 3;

/** Of batches whose content lies in the attachment store. */
export const OUTSIDE_VERSION = 5;

/** The newest that is understood here. */
const NEWEST = OUTSIDE_VERSION;

/** What stands in a job. Redis and PostgreSQL take far more, but each read of the job moves all of it. */
const LARGEST = 1024 * 1024;
/** One character's bytes in JSON, at most: a control character becomes `\u0001`. */
const BYTES_OF_CHARACTER = 6;

/** A batch as the store has it when its content is sealed. */
export interface SealedBatch extends Omit<BatchHead, 'v'> {
  v: typeof SEALED_VERSION | typeof RENDERED_VERSION | typeof OUTSIDE_VERSION;
  /** Its content's JSON. */
  sealed: string;
}

/** Content that lies in the attachment store, under this name. */
interface Outside {
  payload: string;
}

/** A batch as the store has it. */
export type StoredBatch =
  | Batch
  | (BatchHead & CondensedContent)
  | (Omit<BatchHead, 'v'> & Outside & { v: typeof OUTSIDE_VERSION })
  | SealedBatch;

/** A job's data, and the blob that its content went into where it is too large for the job. */
export interface WrittenBatch {
  data: StoredBatch;
  payload?: string;
}

/**
 * One that cannot be delivered for now; `locked` names the key that it takes, and that is not here, `away` why its content is not,
 * which is `lost` where nobody has it any more.
 */
export type WaitingBatch = { head: BatchHead } & ({ locked: string } | { away: string; lost: boolean });

/** A job's data, or why it cannot be delivered. */
export type ReadBatch = { batch: Batch; payload?: string } | UnreadableBatch | WaitingBatch;

/** One that is damaged, or that a newer release has written: that one reads it. */
export interface UnreadableBatch {
  problem: string;
  isNewer?: true;
}

type Opened = { inside: unknown } | { outside: string; head: BatchHead } | UnreadableBatch | WaitingBatch;

/** Why it waits. */
export function waitingReason(waiting: { locked: string } | { away: string }, what: string): string {
  return 'locked' in waiting ? lockedReason(what, waiting.locked) : `${what}: its content ${waiting.away}`;
}

/** For those who cannot do without it. */
export function waitingError(waiting: { locked: string } | { away: string }, what: string): MailError {
  const message = waitingReason(waiting, what);
  if ('locked' in waiting) return new MailConfigError(message);
  return new MailError(message, { permanent: false, code: 'PAYLOAD_UNAVAILABLE' });
}

/** Batches as jobs' data. */
export class BatchFormat {
  /** A loop's messages fill many batches, which have the same in common. */
  private pieces: Pieces = {};

  /** @param attachments where content goes that is too large for a job; without a store it stays in the job */
  constructor(
    private readonly sealer: Sealer,
    private readonly attachments?: Pick<Attachments, 'store' | 'keep' | 'read'>,
  ) {}

  /** @throws MailError when its content has to go into the attachment store, and cannot */
  async write(batch: Batch): Promise<WrittenBatch> {
    // A campaign's bodies are one already.
    const condensed = batch.campaign ? undefined : condense(batch, this.pieces);
    if (condensed) ({ pieces: this.pieces } = condensed.shared);
    const { shared, groups, items, transport, v: plain, ...head } = condensed ?? batch;
    const v = condensed ? RENDERED_VERSION : plain;
    const content = {
      shared,
      items,
      ...(groups === undefined ? {} : { groups }),
      ...(transport === undefined ? {} : { transport }),
    };
    const json = this.attachments?.store && largeJson({ ...content, v });
    if (json !== undefined) {
      const { blob: payload } = await this.attachments!.keep(Buffer.from(json));
      const written = { ...head, v: OUTSIDE_VERSION, payload } as const;
      return { data: this.sealer.seals ? this.sealed(head, OUTSIDE_VERSION, { payload }) : written, payload };
    }
    if (!this.sealer.seals) return { data: { ...head, ...content, v } as StoredBatch };
    return { data: this.sealed(head, v === RENDERED_VERSION ? RENDERED_VERSION : SEALED_VERSION, content) };
  }

  /** The same of what stands in the job alone: content that lies elsewhere counts as away. */
  readHere(data: unknown): ReadBatch {
    const opened = this.open(data);
    if ('inside' in opened) return readBatch(whole(opened.inside));
    return 'outside' in opened ? { head: opened.head, away: 'lies in the attachment store', lost: false } : opened;
  }

  async read(data: unknown): Promise<ReadBatch> {
    const opened = this.open(data);
    if (!('outside' in opened) || !this.attachments) return this.readHere(data);
    const { head, outside: payload } = opened;
    try {
      const json = await buffer(await this.attachments.read(payload));
      const read = readBatch(whole({ ...head, ...(JSON.parse(json.toString()) as object) }));
      return 'batch' in read ? { ...read, payload } : read;
    } catch (error) {
      if (!(error instanceof BlobUnavailable)) throw error;
      const { message: away, reason } = error;
      return { head, away, lost: reason === 'missing' || reason === 'damaged' };
    }
  }

  private sealed(head: Omit<BatchHead, 'v'>, v: SealedBatch['v'], content: object): SealedBatch {
    return { ...head, v, sealed: this.sealer.seal(JSON.stringify(content), placeOf(head.id, v)) };
  }

  private open(data: unknown): Opened {
    const { v, id, sealed, ...rest } = (data ?? {}) as Partial<Record<keyof SealedBatch, unknown>>;
    if (typeof v === 'number' && v > NEWEST) {
      return {
        problem: `The batch has format version ${v}; this worker reads up to ${NEWEST}. Update it, then retry the job.`,
        isNewer: true,
      };
    }
    if (!isSealed(v, sealed)) return v === OUTSIDE_VERSION ? outside(data as BatchHead & Outside) : { inside: data };
    if (typeof id !== 'string' || typeof sealed !== 'string') {
      return { problem: 'The batch is malformed: id or its sealed content is missing' };
    }
    const head = { ...rest, v: v === SEALED_VERSION ? BATCH_VERSION : RENDERED_VERSION, id } as BatchHead;
    const opened = this.sealer.open(sealed, placeOf(id, v));
    switch (opened.state) {
      case 'locked':
        return { locked: opened.keyId, head };
      case 'damaged':
        return { problem: 'The batch cannot be decrypted: it was changed in the store, or copied from another batch' };
      case 'open': {
        const content = JSON.parse(opened.content.toString()) as BatchContent | Outside;
        const all = { ...head, ...content };
        return 'payload' in all ? outside(all) : { inside: all };
      }
    }
  }
}

function isSealed(v: unknown, sealed: unknown): v is SealedBatch['v'] {
  return v === SEALED_VERSION || ((v === RENDERED_VERSION || v === OUTSIDE_VERSION) && sealed !== undefined);
}

function outside({ payload, ...head }: BatchHead & Outside): Opened {
  if (typeof payload === 'string' && typeof head.id === 'string') return { outside: payload, head };
  return { problem: 'The batch is malformed: id or the place of its content is missing' };
}

/** The JSON, where it is too large for a job. */
function largeJson(value: object): string | undefined {
  if (BYTES_OF_CHARACTER * charactersOf(value) <= LARGEST) return undefined;
  const json = JSON.stringify(value);
  return Buffer.byteLength(json) > LARGEST ? json : undefined;
}

/** No fewer than its JSON has, before any is escaped. Written out it would cost what queueing it costs. */
function charactersOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 3;
  if (typeof value !== 'object' || value === null) return 25;
  let characters = 2;
  for (const key in value) characters += key.length + 4 + charactersOf((value as Record<string, unknown>)[key]);
  return characters;
}

/** With the bodies that its messages were given. */
function whole(data: unknown): unknown {
  return typeof data === 'object' && data !== null ? expand(data) : data;
}

/** What the queue needs of a job's data, sealed or not; undefined where no batch can be read from it. */
export function readHead(data: unknown): Pick<BatchHead, 'id' | 'campaign'> | undefined {
  const { v, id, campaign } = (data ?? {}) as Partial<BatchHead>;
  if (typeof v !== 'number' || v > NEWEST || typeof id !== 'string') return undefined;
  return { id, ...(campaign === undefined ? {} : { campaign }) };
}

function placeOf(id: string, v: SealedBatch['v']): string {
  return `batch/${id}/${v}`;
}
