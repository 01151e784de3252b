import type { Attachments } from '../attachments/attachments.js';
import { MailError, MailQueueUnavailableError, reasonOf } from '../errors.js';
import type { Store } from '../store/store.js';
import { within } from '../within.js';
import type { Backend } from './backend.js';
import { blobsOf, itemRecipients, type Batch } from './batch.js';
import type { BatchFormat, WrittenBatch } from './batch-format.js';
import type { Statistics } from './statistics.js';
import { QueueTraces } from './traces.js';
import { jobPriority } from './urgency.js';

/** A flush without an answer for this long is taken as failed. */
const ANSWER_WITHIN = 10_000;
/** The same of the attachment store, for a batch that is too large for a job. */
const STORED_WITHIN = 60_000;

/** BullMQ's retry of a job is not a message's retry: a batch leaves the queue only when its ledger says so. */
const FOREVER = 1_000_000;

const noAnswer = (): Error => new Error(`no answer within ${ANSWER_WITHIN} ms`);
const notStored = (): Error => new Error(`the attachment store took no batch within ${STORED_WITHIN} ms`);

/** A batch, and its job's data. */
interface Prepared {
  batch: Batch;
  data: WrittenBatch['data'];
}

/** Adds batches to the queue, all or none of them. */
export class Flusher {
  private readonly observers = new Set<(messages: number) => void>();

  constructor(
    private readonly queueName: string,
    private readonly store: Store,
    private readonly backend: Backend,
    private readonly format: BatchFormat,
    private readonly attachments: Pick<Attachments, 'lease'>,
    private readonly statistics: Statistics,
    private readonly traces = new QueueTraces(queueName),
  ) {}

  /**
   * Resolves when all batches are durable. Job ids are the batches' own, so a flush whose answer was lost is repeated
   * without harm.
   *
   * @throws MailQueueUnavailableError with outcome `unknown` when they may have been queued all the same
   */
  flush(batches: readonly Batch[]): Promise<void> {
    return this.traces.flush(batches, () => this.write(batches));
  }

  private async write(batches: readonly Batch[]): Promise<void> {
    await this.reach();
    const jobs = await this.prepare(batches);
    try {
      await within(ANSWER_WITHIN, this.add(jobs), noAnswer);
    } catch (first) {
      try {
        await this.reach();
        await within(ANSWER_WITHIN, this.add(jobs), noAnswer);
      } catch (error) {
        const outcome = neverLeft(first) && neverLeft(error) ? 'not-sent' : 'unknown';
        throw unavailable(error, outcome);
      }
    }
    this.statistics.count('bulk', 'queued', recipientsOf(batches));
    const messages = batches.reduce((sum, { items }) => sum + items.length, 0);
    for (const observer of this.observers) observer(messages);
  }

  /** @param observer told how many messages are durable now. Returns what ends it. */
  observe(observer: (messages: number) => void): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }

  /** @throws MailQueueUnavailableError */
  async reach(): Promise<void> {
    try {
      await this.store.ready();
    } catch (error) {
      throw error instanceof MailQueueUnavailableError ? error : unavailable(error, 'not-sent');
    }
  }

  /** Sees to it that nothing that the batches need beside the queue goes while they wait. */
  private async prepare(batches: readonly Batch[]): Promise<Prepared[]> {
    const prepared: Prepared[] = [];
    const dues = new Map<string, number>();
    try {
      for (const batch of batches) {
        const { data, payload } = await within(STORED_WITHIN, this.format.write(batch), notStored);
        prepared.push({ batch, data });
        const { sendAt = 0 } = batch;
        for (const blob of blobsOf(batch, payload)) dues.set(blob, Math.max(sendAt, dues.get(blob) ?? 0));
      }
      if (dues.size > 0) await within(ANSWER_WITHIN, this.attachments.lease(dues), noAnswer);
    } catch (error) {
      throw error instanceof MailError ? error : unavailable(error, 'not-sent');
    }
    return prepared;
  }

  private async add(jobs: readonly Prepared[]): Promise<void> {
    const now = Date.now();
    await this.backend.flow.addBulk(
      jobs.map(({ batch, data }) => ({
        name: batch.campaign ? 'campaign' : 'mail',
        queueName: this.queueName,
        data,
        opts: {
          jobId: batch.id,
          priority: jobPriority(batch.urgency, batch.campaign?.number ?? 0),
          attempts: FOREVER,
          backoff: { type: 'fixed', delay: 1_000 },
          stackTraceLimit: 1,
          ...(batch.sendAt !== undefined && batch.sendAt > now ? { delay: batch.sendAt - now } : {}),
        },
      })),
    );
  }
}

function recipientsOf(batches: readonly Batch[]): number {
  let count = 0;
  for (const batch of batches) {
    if (batch.campaign) count += batch.items.length;
    else for (const item of batch.items) count += itemRecipients(batch, item).length;
  }
  return count;
}

function unavailable(cause: unknown, outcome: 'not-sent' | 'unknown'): MailQueueUnavailableError {
  const doubt = outcome === 'unknown' ? ' The mail may have been queued.' : '';
  return new MailQueueUnavailableError(
    `The mail queue's store cannot be used: ${reasonOf(cause)}.${doubt} Check queue.connection and that its server is up.`,
    { cause, outcome },
  );
}

/** ioredis refuses a command that it could not even write. */
function neverLeft(error: unknown): boolean {
  if (error instanceof MailQueueUnavailableError) return error.outcome === 'not-sent';
  const text = reasonOf(error);
  return /isn't writeable|ECONNREFUSED|ENOTFOUND|EHOSTUNREACH/.test(text);
}
