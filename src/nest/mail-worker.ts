import { Inject, type InjectionToken } from '@nestjs/common';
import { MailConfigError } from '../errors.js';
import { parseDuration, type Duration } from '../message/duration.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { RunReport } from '../queue/run.js';
import { outsideCollections } from './collecting.js';

export interface RunUntilOptions {
  /** When it has returned at the latest: a moment, or so long from now. At most 24 days ahead. */
  deadline: Duration | Date;
  /**
   * Returns as soon as nothing is due, whatever is scheduled or waits for its next attempt. False: waits for more until the
   * deadline. Default true.
   */
  empty?: boolean;
  /** Ends it earlier: what is in flight is finished within `shutdownTimeout`, and what is left goes back into the queue. */
  signal?: AbortSignal;
}

/** What a timer of Node.js can wait. Milliseconds. */
const LONGEST = 2 ** 31 - 1;

/**
 * Works on the bulk lane in a process that does so for a limited time only: started by cron, or a serverless function. It
 * needs `queue.worker: false` or `queue.worker: { autorun: false }`.
 *
 * ```ts
 * const { reason, sent } = await app.get(MailWorker).runUntil({ deadline: '50s' });
 * ```
 */
export class MailWorker {
  /** @internal */
  constructor(
    private readonly mailQueue: MailQueue | undefined,
    private readonly shutdownTimeout: number,
  ) {}

  /**
   * Takes batches from the queue until it is empty or the time is over, and returns before the deadline. No message is
   * started that cannot be expected to have its answer in time. What was accepted is recorded, and what is left of a batch
   * goes back into the queue, where another worker, or the next call, takes it up at once.
   *
   * @throws MailConfigError the deadline is wrong, there is no bulk lane, or this process has a worker that runs already
   * @throws MailError (`RUNNING`) the last call has not returned
   * @throws MailQueueUnavailableError the store cannot be reached
   */
  async runUntil({ deadline, empty = true, signal }: RunUntilOptions): Promise<RunReport> {
    if (!this.mailQueue) {
      throw new MailConfigError('There is no bulk lane: the mail module was configured with queue: false.');
    }
    if (typeof empty !== 'boolean') {
      throw new MailConfigError(`runUntil({ empty }) is ${String(empty)}. Give true or false.`);
    }
    const queue = this.mailQueue;
    const time = timeUntil(deadline);
    // Called by a request, it still works for everybody.
    const options = { empty, ...(signal ? { abort: { signal, within: this.shutdownTimeout } } : {}) };
    return outsideCollections(() => queue.runUntil(time, options));
  }
}

/** Milliseconds. @throws MailConfigError */
function timeUntil(deadline: Duration | Date): number {
  const time = deadline instanceof Date ? deadline.getTime() - Date.now() : (parseDuration(deadline) ?? NaN);
  if (time > 0 && time <= LONGEST) return time;
  throw new MailConfigError(
    `runUntil({ deadline }) is ${show(deadline)}. Give a Date, milliseconds or a string such as '50s', above 0 and at most 24 days ahead.`,
  );
}

function show(deadline: unknown): string {
  if (deadline instanceof Date && !Number.isNaN(deadline.getTime())) return deadline.toISOString();
  return typeof deadline === 'string' ? JSON.stringify(deadline) : String(deadline);
}

/** The injection token of a mailer's `MailWorker`: the class itself, or a named one's own. */
export function getMailWorkerToken(name?: string): InjectionToken {
  return name === undefined ? MailWorker : `MailWorker(${name})`;
}

/** Injects the `MailWorker` of the mailer with this name. */
export const InjectMailWorker = (name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getMailWorkerToken(name));
