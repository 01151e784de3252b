import type { Attachments } from '../attachments/attachments.js';
import { MailError, MailQueueUnavailableError, reasonOf } from '../errors.js';
import type { Store } from '../store/store.js';
import { within } from '../within.js';
import type { Backend } from './backend.js';
import { itemRecipients, type Batch } from './batch.js';
import type { BatchFormat } from './batch-format.js';
import type { Statistics } from './statistics.js';
import { QueueTraces } from './traces.js';
import { jobPriority } from './urgency.js';

/** A flush without an answer for this long is taken as failed. */
const ANSWER_WITHIN = 10_000;

/** BullMQ's retry of a job is not a message's retry: a batch leaves the queue only when its ledger says so. */
const FOREVER = 1_000_000;

const noAnswer = (): Error => new Error(`no answer within ${ANSWER_WITHIN} ms`);

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
    await this.lease(batches);
    try {
      await within(ANSWER_WITHIN, this.add(batches), noAnswer);
    } catch (first) {
      try {
        await this.reach();
        await within(ANSWER_WITHIN, this.add(batches), noAnswer);
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

  /** Before any of them is queued, so that nothing that they name goes while they wait. */
  private async lease(batches: readonly Batch[]): Promise<void> {
    const dues = duesOf(batches);
    if (dues.size === 0) return;
    try {
      await within(ANSWER_WITHIN, this.attachments.lease(dues), noAnswer);
    } catch (error) {
      throw error instanceof MailError ? error : unavailable(error, 'not-sent');
    }
  }

  private async add(batches: readonly Batch[]): Promise<void> {
    const now = Date.now();
    await this.backend.flow.addBulk(
      batches.map((batch) => ({
        name: batch.campaign ? 'campaign' : 'mail',
        queueName: this.queueName,
        data: this.format.write(batch),
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

/** When what they name beside the queue is needed last, by its name. */
function duesOf(batches: readonly Batch[]): Map<string, number> {
  const dues = new Map<string, number>();
  for (const { shared, sendAt = 0 } of batches) {
    for (const { blob } of shared.attachments) dues.set(blob, Math.max(sendAt, dues.get(blob) ?? 0));
  }
  return dues;
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
