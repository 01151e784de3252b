import { MailError, reasonOf } from '../errors.js';
import type { Duration } from '../message/duration.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { WorkersReport } from '../queue/presence.js';
import { EMPTY_QUEUE, type QueueReport } from '../queue/reader.js';
import { within } from '../within.js';
import { OptionReader } from './options/reader.js';

/**
 * How the bulk lane is doing: its batches, since when the oldest waits, and the workers of all processes; or why its store
 * cannot be reached. Where nothing was ever queued nothing is created to find that out.
 */
export type QueueHealth =
  { reachable: false; reason: string } | ({ reachable: true; workers: WorkersReport } & QueueReport);

/** What makes a mailer count as down, beside what it cannot work without. None of it counts while the queue is paused. */
export interface HealthThresholds {
  /** More batches wait than this. Default: any number. */
  maxWaiting?: number;
  /**
   * The oldest of them waits for longer: since it was queued, fell due by its `sendAt`, or was taken up last. Default: any
   * time.
   */
  maxWait?: Duration;
  /** Something waits, and fewer processes with a worker are alive than this. Default 0. */
  minWorkers?: number;
  /** The queue's store takes longer to answer. Default `'1s'`. */
  timeout?: Duration;
}

/** Milliseconds. */
export type HealthLimits = Required<{ [Name in keyof HealthThresholds]: number }>;

const TIMEOUT = 1_000;

/** @throws MailConfigError */
export function parseThresholds(thresholds: HealthThresholds): HealthLimits {
  const reader = new OptionReader(thresholds, 'isHealthy()');
  const limits = {
    maxWaiting: reader.integer('maxWaiting', Infinity, 0, Number.MAX_SAFE_INTEGER),
    maxWait: reader.duration('maxWait', Infinity, 0, Infinity),
    minWorkers: reader.integer('minWorkers', 0, 0, Number.MAX_SAFE_INTEGER),
    timeout: reader.duration('timeout', TIMEOUT, 1),
  };
  reader.end();
  return limits;
}

/** @param timeout milliseconds for the store to answer */
export async function queueHealth(queue: MailQueue, timeout = TIMEOUT): Promise<QueueHealth> {
  const nothing = { ...EMPTY_QUEUE, workers: queue.presence.own };
  const asked = queue.access.ask(async () => {
    const [report, workers] = await Promise.all([queue.reader.report(), queue.reader.workers()]);
    return { ...report, workers };
  }, nothing);
  try {
    return { reachable: true, ...(await within(timeout, asked, () => new Error(`No answer within ${timeout} ms`))) };
  } catch (error) {
    return { reachable: false, reason: reasonOf(error instanceof MailError ? (error.cause ?? error) : error) };
  }
}

/** What is wrong with the queue, in words. */
export function problemsOf(queue: QueueHealth, limits: HealthLimits): string[] {
  if (!queue.reachable) return [`The queue's store cannot be reached: ${queue.reason}`];
  const { paused, batches, oldestWaiting, workers } = queue;
  const { waiting } = batches;
  if (paused || waiting === 0) return [];
  const problems: string[] = [];
  if (waiting > limits.maxWaiting) problems.push(`Waiting batches: ${waiting}, more than ${limits.maxWaiting}`);
  const waited = oldestWaiting ? Date.now() - oldestWaiting.getTime() : 0;
  if (waited > limits.maxWait) {
    problems.push(
      `The oldest batch has waited for ${Math.round(waited / 1_000)} s, longer than ${Math.round(limits.maxWait / 1_000)} s`,
    );
  }
  if (workers.alive < limits.minWorkers) {
    problems.push(
      `Batches wait, and the processes with a worker are ${workers.alive}, fewer than ${limits.minWorkers}`,
    );
  }
  return problems;
}
