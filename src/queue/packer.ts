import { batchId } from '../message/ids.js';
import type { Recipient, Rendering } from '../message/message.js';
import type { ParsedBulk } from '../message/parse.js';
import {
  sharedRendering,
  versionFor,
  type Batch,
  type BatchItem,
  type SharedContent,
  type StoredAttachment,
} from './batch.js';

export interface BatchLimits {
  /** Recipients of a batch. */
  size: number;
  /** Bytes of JSON of a batch, attachments not counted. */
  maxBytes: number;
}

/** Packs a campaign's recipients into batches, in order. */
export class Packer {
  private readonly shared: SharedContent;
  private readonly sharedBytes: number;
  private number = 0;
  private items: BatchItem[] = [];
  private groups: Record<string, Record<string, unknown>> = {};
  private bytes: number;
  private readonly taken = new WeakMap<Batch, number>();

  /** @param pass which of the calls that queued recipients of this campaign */
  constructor(
    private readonly campaignId: string,
    private readonly bulk: ParsedBulk,
    attachments: StoredAttachment[],
    private readonly limits: BatchLimits,
    private readonly pass: number,
  ) {
    const { from, replyTo, headers, subject, text, html, rendering, list, unsubscribe } = bulk;
    this.shared = {
      from,
      replyTo,
      headers,
      subject,
      cc: [],
      bcc: [],
      attachments,
      ...(text === undefined ? {} : { text }),
      ...(html === undefined ? {} : { html }),
      ...(rendering ? { ...sharedRendering(rendering), ...valuesOf(rendering) } : {}),
      ...(list === undefined ? {} : { list }),
      ...(unsubscribe ? { unsubscribe } : {}),
    };
    this.sharedBytes = JSON.stringify(this.shared).length;
    this.bytes = this.sharedBytes;
  }

  /** About how many bytes of JSON a batch of this packer has. */
  bytesOf(batch: Batch): number {
    return this.taken.get(batch) ?? 0;
  }

  /**
   * Adds a recipient; returns the batch before it when that is full.
   *
   * @param length of its JSON, more or less
   */
  add({ to, context, locale, group, idempotencyKey }: Recipient, length: number): Batch | undefined {
    const item: BatchItem = { to: to.name === '' ? to.address : [to] };
    if (context !== undefined) item.context = context;
    if (locale !== undefined) item.locale = locale;
    if (idempotencyKey !== undefined) item.key = idempotencyKey;
    if (group !== undefined) item.group = group;
    const more = length + this.lengthOf(group);
    const full = this.items.length >= this.limits.size || this.bytes + more > this.limits.maxBytes;
    const batch = full ? this.take() : undefined;
    // The new batch has none of the groups that the old one had.
    this.bytes += batch ? length + this.lengthOf(group) : more;
    if (group !== undefined) this.groups[group] = this.bulk.groups[group]!;
    this.items.push(item);
    return batch;
  }

  /** What a group adds to the batch that is being filled, if it is not in it. */
  private lengthOf(group: string | undefined): number {
    if (group === undefined || Object.hasOwn(this.groups, group)) return 0;
    return JSON.stringify(this.bulk.groups[group]).length;
  }

  /** The batch that is being filled, or undefined when it is empty. */
  take(): Batch | undefined {
    if (this.items.length === 0) return undefined;
    const { transport, sendAt, expiresAt, urgency = 'low', missingFields, rendering, trace } = this.bulk;
    const batch: Batch = {
      v: versionFor(this.shared),
      id: batchId(this.campaignId, this.pass, this.number),
      createdAt: Date.now(),
      urgency,
      campaign: { id: this.campaignId, number: this.number },
      // What is rendered has no merge fields.
      ...(rendering ? {} : { merge: missingFields }),
      shared: this.shared,
      items: this.items,
      ...(Object.keys(this.groups).length > 0 ? { groups: this.groups } : {}),
      ...(transport === undefined ? {} : { transport }),
      ...(sendAt === undefined ? {} : { sendAt }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(trace === undefined ? {} : { trace }),
    };
    this.taken.set(batch, this.bytes);
    this.number++;
    this.items = [];
    this.groups = {};
    this.bytes = this.sharedBytes;
    return batch;
  }
}

/** What its messages are rendered with where they say nothing else. */
function valuesOf({ context, locale }: Rendering): Pick<SharedContent, 'context' | 'locale'> {
  return { ...(context === undefined ? {} : { context }), ...(locale === undefined ? {} : { locale }) };
}
