import type { Address } from '../message/address.js';
import { messageId, messageIdHeader, newId } from '../message/ids.js';
import {
  sharedRendering,
  versionFor,
  type Batch,
  type BatchItem,
  type Queueable,
  type StoredAttachment,
} from './batch.js';
import type { BatchLimits } from './packer.js';
import type { BatchUrgency } from './urgency.js';

/** A message's own id. */
export interface OwnId {
  id: string;
  /** A batch of that id that was finished before is another mail's, and goes. Default false: it is this one. */
  fresh?: boolean;
}

/** How a message that has an id of its own is queued. */
export interface OwnBatch extends OwnId {
  urgency?: BatchUrgency;
}

/** What a message is known by from now on. */
export interface Packed {
  id: string;
  messageId: string;
}

type Meta = Pick<Batch, 'shared' | 'transport' | 'sendAt' | 'expiresAt' | 'urgency'>;

interface Filling {
  batch: Batch;
  meta: Meta;
  bytes: number;
}

/** About what it takes in a batch. */
export function bytesOf({ to, subject, text = '', html = '', rendering }: Queueable): number {
  const context = rendering?.context === undefined ? '' : JSON.stringify(rendering.context);
  const body = Buffer.byteLength(text) + Buffer.byteLength(html) + Buffer.byteLength(context);
  return 300 + addressBytesOf(to) + Buffer.byteLength(subject) + body;
}

export function addressBytesOf(addresses: readonly Address[]): number {
  return addresses.reduce((sum, { address, name = '' }) => sum + address.length + Buffer.byteLength(name), 0);
}

/** Puts single messages into batches as they come: those with the same meta share one. Their ids are final at once. */
export class Packing {
  private readonly fillings: Filling[] = [];
  private readonly open = new Map<string, Filling>();
  private last: Filling | undefined;

  constructor(private readonly limits: BatchLimits) {}

  get batches(): Batch[] {
    return this.fillings.map(({ batch }) => batch);
  }

  /** @param own for a message that travels in a batch of its own */
  add(message: Queueable, attachments: StoredAttachment[], own?: OwnBatch): Packed {
    const meta = metaOf(message, attachments, own);
    const bytes = bytesOf(message);
    const filling = own ? this.begin(own.id, meta) : this.fillingFor(meta, bytes);
    filling.bytes += bytes;
    const { batch } = filling;
    const id = messageId(batch.id, batch.items.push(itemOf(message)) - 1);
    return { id, messageId: messageIdHeader(id, message.from.address) };
  }

  /** The batches in the order of their making, in parts of about so many bytes of JSON. */
  *parts(maxBytes: number): Generator<Batch[]> {
    let part: Batch[] = [];
    let total = 0;
    for (const { batch, bytes } of this.fillings) {
      if (part.length > 0 && total + bytes > maxBytes) {
        yield part;
        part = [];
        total = 0;
      }
      part.push(batch);
      total += bytes;
    }
    if (part.length > 0) yield part;
  }

  private fillingFor(meta: Meta, bytes: number): Filling {
    // Most messages are like the one before, and need no key to be looked up by.
    if (this.last && isSameMeta(this.last.meta, meta) && this.hasRoom(this.last, bytes)) return this.last;
    const key = JSON.stringify(meta);
    const known = this.open.get(key);
    const filling = known && this.hasRoom(known, bytes) ? known : this.begin(newId('m'), meta, key.length);
    this.open.set(key, filling);
    return (this.last = filling);
  }

  private hasRoom({ batch, bytes }: Filling, more: number): boolean {
    return batch.items.length < this.limits.size && bytes + more <= this.limits.maxBytes;
  }

  private begin(id: string, meta: Meta, bytes = 0): Filling {
    const batch: Batch = { v: versionFor(meta.shared), id, createdAt: Date.now(), ...meta, items: [] };
    const filling = { batch, meta, bytes };
    this.fillings.push(filling);
    return filling;
  }
}

function metaOf(message: Queueable, attachments: StoredAttachment[], own: OwnBatch | undefined): Meta {
  const { from, replyTo, headers, cc, bcc, transport, sendAt, expiresAt, urgency = 'normal' } = message;
  const { rendering, unsubscribe } = message;
  return {
    urgency: own?.urgency ?? urgency,
    shared: {
      ...{ from, replyTo, headers, cc, bcc, attachments },
      ...(rendering ? sharedRendering(rendering) : {}),
      ...(unsubscribe ? { unsubscribe } : {}),
    },
    ...(transport === undefined ? {} : { transport }),
    ...(sendAt === undefined ? {} : { sendAt }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

/** Surely the same; what this says no to may be the same all the same. */
function isSameMeta(a: Meta, b: Meta): boolean {
  return isSame(a, b) && isSame(a.shared, b.shared);
}

function isSame<T extends object>(a: T, b: T): boolean {
  for (const field in a) {
    if (field !== 'shared' && a[field] !== b[field] && !(isEmptyList(a[field]) && isEmptyList(b[field]))) return false;
  }
  for (const field in b) if (!(field in a)) return false;
  return true;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function itemOf(message: Queueable): BatchItem {
  const { to, rendering, trace, subject, text, html } = message;
  const item: BatchItem = { to };
  // Where it is rendered, an empty subject is the template's to say.
  if (!rendering || subject !== '') item.subject = subject;
  if (text !== undefined) item.text = text;
  if (html !== undefined) item.html = html;
  if (rendering?.context !== undefined) item.context = rendering.context;
  if (rendering?.locale !== undefined) item.locale = rendering.locale;
  if (trace !== undefined) item.trace = trace;
  return item;
}
