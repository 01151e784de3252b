import { reasonOf, type Fault } from '../errors.js';
import type { Limits } from '../message/limits.js';
import type { BulkMailInput } from '../message/message.js';
import type { ParsedBulk } from '../message/parse.js';
import { parseRecipient, recipientKey } from '../message/recipient.js';
import { abortable } from './abortable.js';
import type { Batch } from './batch.js';
import type { Pass } from './campaign-record.js';
import type { EventLoopShare } from './event-loop-share.js';
import type { KeySet } from './key-set.js';
import type { BatchLimits, Packer } from './packer.js';

/** One recipient that could not be queued. */
export interface RejectedRecipient {
  /** Its place in the source, from 0. */
  index: number;
  errors: Fault[];
}

/** All recipients are durably queued. None has been sent yet. */
export interface CampaignReceipt {
  id: string;
  /** Recipients queued by this call. */
  queued: number;
  /** Recipients that this campaign had already, by address or `idempotencyKey`. */
  duplicates: number;
  /** Invalid recipients. They are reported, not fatal. */
  rejected: number;
  /** The first 100 of them. */
  rejections: RejectedRecipient[];
}

/** No more than this is collected while a flush is under way; then the source waits. */
const FLUSH_BYTES = 1024 * 1024;
const FLUSH_BATCHES = 16;
const MAX_REJECTIONS = 100;

export interface CampaignOptions extends BatchLimits {
  limits: Limits;
  loop: EventLoopShare;
}

/** One pass over a source. */
export class Queueing {
  packer!: Packer;
  private readonly rejections: RejectedRecipient[] = [];
  private index = -1;
  private duplicates = 0;
  private rejected = 0;
  private queued = 0;
  private batches = 0;
  private chunk: Batch[] = [];
  private chunkBytes = 0;
  /** The flush under way; one that failed stays. */
  private flushing: Promise<void> | undefined;
  /** What the last flush but one has queued is written down. */
  private saving: Promise<void> = Promise.resolve();

  constructor(
    private readonly id: string,
    /** Recipients that other passes have queued. */
    private readonly base: number,
    private readonly seen: KeySet,
    private readonly options: CampaignOptions,
    private readonly onProgress: BulkMailInput['onProgress'],
    private readonly flush: (chunk: readonly Batch[]) => Promise<void>,
    /** Writes down how far it has come. */
    private readonly save: (progress: Pass) => Promise<void>,
    private readonly onError: (error: Error) => void,
  ) {}

  async readAll(source: BulkMailInput['recipients'], bulk: ParsedBulk, signal: AbortSignal | undefined): Promise<void> {
    const { loop } = this.options;
    if (Symbol.asyncIterator in source) {
      for await (const input of abortable(source, signal)) {
        await loop.enter();
        this.take(input, bulk);
        await this.flushWhenDue();
      }
    } else {
      // Millions of them are not worth a promise each.
      for (const input of source) {
        signal?.throwIfAborted();
        const turn = loop.enter();
        if (turn) await turn;
        this.take(isPromise(input) ? await input : input, bulk);
        const flush = this.flushWhenDue();
        if (flush) await flush;
      }
    }
    signal?.throwIfAborted();
    this.collect(this.packer.take());
    await this.send();
    await this.flushing;
    await this.saving;
  }

  /** What is in the queue once the flush under way has ended. */
  async settled(): Promise<Pass> {
    this.chunk = [];
    await this.flushing?.catch(() => undefined);
    return this.durable();
  }

  durable(): Pass {
    return { recipients: this.queued, batches: this.batches };
  }

  receipt(): CampaignReceipt {
    const { queued, duplicates, rejected, rejections } = this;
    return { id: this.id, queued, duplicates, rejected, rejections };
  }

  private take(input: unknown, bulk: ParsedBulk): void {
    this.index++;
    const { limits } = this.options;
    const parsed = parseRecipient(input, this.index, limits, bulk.groups, bulk.rendering?.source.kind === 'mail');
    if ('faults' in parsed) this.reject(parsed.faults);
    else if (!this.seen.add(recipientKey(parsed.recipient))) this.duplicates++;
    else this.collect(this.packer.add(parsed.recipient, parsed.length));
  }

  /** One flush is under way at a time, and the next one carries what was read meanwhile. */
  private flushWhenDue(): Promise<void> | undefined {
    if (this.chunk.length === 0) return undefined;
    const full = this.chunk.length >= FLUSH_BATCHES || this.chunkBytes >= FLUSH_BYTES;
    return full || !this.flushing ? this.send() : undefined;
  }

  private reject(errors: Fault[]): void {
    this.rejected++;
    if (this.rejections.length < MAX_REJECTIONS) this.rejections.push({ index: this.index, errors });
  }

  private collect(batch: Batch | undefined): void {
    if (!batch) return;
    this.chunk.push(batch);
    this.chunkBytes += this.packer.bytesOf(batch);
  }

  /** Starts the flush of the chunk when the one before is durable; meanwhile the source is read on. */
  private async send(): Promise<void> {
    while (this.flushing) await this.flushing;
    const chunk = this.chunk;
    if (chunk.length === 0) return;
    this.chunk = [];
    this.chunkBytes = 0;
    this.flushing = Promise.all([this.flush(chunk), this.saving]).then(async () => {
      this.queued += chunk.reduce((sum, batch) => sum + batch.items.length, 0);
      this.batches += chunk.length;
      // The next flush does not wait for it.
      this.saving = this.save(this.durable());
      this.saving.catch(() => undefined);
      await this.report();
      this.flushing = undefined;
      // What is whole does not wait for a slow source.
      void this.send().catch(() => undefined);
    });
    // Its failure is met at the next await; until then nobody listens.
    this.flushing.catch(() => undefined);
  }

  /** What the callback does wrong is not the campaign's fault. */
  private async report(): Promise<void> {
    try {
      await this.onProgress?.({ campaignId: this.id, queued: this.base + this.queued });
    } catch (error) {
      this.onError(new Error(`onProgress of campaign ${this.id} failed: ${reasonOf(error)}`, { cause: error }));
    }
  }
}

function isPromise(input: unknown): input is Promise<unknown> {
  return typeof (input as { then?: unknown } | null | undefined)?.then === 'function';
}
