import { setTimeout as sleep } from 'node:timers/promises';
import { MailQueueUnavailableError } from '../errors.js';
import { Shift, type ShiftEnd, type ShiftReport } from './shift.js';
import type { BatchWorker } from './worker.js';

/** What a run has done, and why it ended. */
export interface RunReport extends ShiftReport {
  /**
   * `empty`: nothing was due any more. `deadline`: the time was over, or too little was left for another message.
   * `aborted`: by its `signal`. `closed`: the application is shutting down.
   */
  reason: 'empty' | ShiftEnd;
}

/** Between looks at the queue while the worker has nothing to do: at first, and after some of them. Milliseconds. */
const FIRST_LOOK = 1;
const LOOK_EVERY = 50;

/** What is not swept by then is left to the next one. */
const SWEEP_WITHIN = 10_000;

/** What a run works with. */
export interface RunParts {
  /** Resolves when the store can be used. @throws MailQueueUnavailableError */
  open(): Promise<void>;
  /** Whether a worker would find something to do in the queue. */
  isAnythingDue(): Promise<boolean>;
  createWorker(shift: Shift): BatchWorker;
  /** Removes what is past retention, which else a process does that lives for longer. */
  sweep(): Promise<void>;
}

/** Works on the queue for a limited time. */
export class Run {
  private readonly shift: Shift;
  private within = Infinity;
  private finished: Promise<unknown> = Promise.resolve();
  private worker: BatchWorker | undefined;

  /** @param length milliseconds after which it is over, counted from now on */
  constructor(
    length: number,
    private readonly parts: RunParts,
  ) {
    this.shift = new Shift(length);
  }

  /**
   * @param empty ends it as well when nothing is due any more
   * @throws MailQueueUnavailableError
   */
  work(empty: boolean): Promise<RunReport> {
    const { shift } = this;
    const timer = setTimeout(() => shift.end('deadline'), shift.left);
    const work = this.untilOver(empty).finally(() => clearTimeout(timer));
    this.finished = work.catch(() => undefined);
    return work;
  }

  /** That its worker has in its hands. */
  get batches(): number {
    return this.worker?.batches ?? 0;
  }

  /** Ends it as `BatchWorker.stop()` does, and resolves when it is over. */
  async stop(within: number, why: ShiftEnd = 'closed'): Promise<void> {
    this.within = within;
    this.shift.end(why);
    await this.finished;
  }

  private async untilOver(empty: boolean): Promise<RunReport> {
    const { shift, parts } = this;
    const over = shift.over.then(() => undefined);
    await this.open();
    // It has no time left at its end.
    if (!empty) void parts.sweep();
    while (!shift.isOver) {
      const worker = (this.worker = parts.createWorker(shift));
      worker.start();
      const taken = await (empty ? Promise.race([over, this.untilNothingIsDue(worker)]) : over);
      const finished = taken !== undefined && (await Promise.race([over, worker.finish().then(() => true)]));
      // What the worker fetched after the last look it has delivered, but perhaps not all of it.
      if (finished && shift.taken === taken) {
        await this.sweep();
        return { reason: 'empty', ...shift.report };
      }
      if (!finished) await worker.stop(Math.min(this.within, shift.left), shift.lastWords);
    }
    return { reason: await shift.over, ...shift.report };
  }

  private async sweep(): Promise<void> {
    const enough = new AbortController();
    const late = sleep(SWEEP_WITHIN, undefined, { signal: enough.signal }).catch(() => undefined);
    await Promise.race([this.shift.over, this.parts.sweep(), late]);
    enough.abort();
  }

  /** @throws MailQueueUnavailableError */
  private async open(): Promise<void> {
    const end = await Promise.race([this.shift.over, this.parts.open()]);
    if (end === 'deadline') {
      throw new MailQueueUnavailableError("The mail queue's store did not answer before the deadline.");
    }
  }

  /** Resolves to how often a batch had been taken by then; undefined when the time is over first. */
  private async untilNothingIsDue(worker: BatchWorker): Promise<number | undefined> {
    const { shift, parts } = this;
    for (let pause = FIRST_LOOK; !shift.isOver; pause = Math.min(2 * pause, LOOK_EVERY)) {
      const { taken } = shift;
      // While the store does not answer nobody knows.
      if (worker.idle && !(await parts.isAnythingDue().catch(() => true))) return taken;
      await sleep(pause);
    }
    return undefined;
  }
}
