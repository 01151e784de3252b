import type { Sealer } from '../store/sealing.js';
import { condense, expand, type CondensedContent, type Pieces } from './condensed.js';
import { BATCH_VERSION, readBatch, RENDERED_VERSION, type Batch, type BatchContent, type BatchHead } from './batch.js';

/** A batch of format version 2 whose content is sealed. From version 4 on, one that is sealed has the same version. */
export const SEALED_VERSION = 3;

/** The newest that is understood here. */
const NEWEST = RENDERED_VERSION;

/** A batch as the store has it when its content is sealed. */
export interface SealedBatch extends Omit<BatchHead, 'v'> {
  v: typeof SEALED_VERSION | typeof RENDERED_VERSION;
  /** Its content's JSON. */
  sealed: string;
}

/** A batch as the store has it. */
export type StoredBatch = Batch | (BatchHead & CondensedContent);

/** A job's data, or why it cannot be delivered; `locked` names the key that it takes, and that is not here. */
export type ReadBatch = { batch: Batch } | { problem: string } | { locked: string; head: BatchHead };

/** Batches as jobs' data. */
export class BatchFormat {
  /** A loop's messages fill many batches, which have the same in common. */
  private pieces: Pieces = {};

  constructor(private readonly sealer: Sealer) {}

  write(batch: Batch): StoredBatch | SealedBatch {
    // A campaign's bodies are one already.
    const condensed = batch.campaign ? undefined : condense(batch, this.pieces);
    if (condensed) ({ pieces: this.pieces } = condensed.shared);
    const stored: StoredBatch = condensed ? { ...condensed, v: RENDERED_VERSION } : batch;
    if (!this.sealer.seals) return stored;
    const { shared, groups, items, transport, v: plain, ...head } = stored;
    const content = {
      shared,
      items,
      ...(groups === undefined ? {} : { groups }),
      ...(transport === undefined ? {} : { transport }),
    };
    const v = plain === RENDERED_VERSION ? RENDERED_VERSION : SEALED_VERSION;
    return { ...head, v, sealed: this.sealer.seal(JSON.stringify(content), placeOf(batch.id, v)) };
  }

  read(data: unknown): ReadBatch {
    const { v, id, sealed, ...rest } = (data ?? {}) as Partial<Record<keyof SealedBatch, unknown>>;
    if (typeof v === 'number' && v > NEWEST) {
      return {
        problem: `The batch has format version ${v}; this worker reads up to ${NEWEST}. Update it, then retry the job.`,
      };
    }
    if (v !== SEALED_VERSION && !(v === RENDERED_VERSION && sealed !== undefined)) return readBatch(whole(data));
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
      case 'open':
        return readBatch(whole({ ...head, ...(JSON.parse(opened.content.toString()) as BatchContent) }));
    }
  }
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
