import type { Backend, BullQueue, MailJob, MailJobProcessor, MailJobQueue } from '../queue/backend.js';
import { MemoryJobs, stateOf, type JobType, type MemoryJob } from './memory-jobs.js';
import { MemoryWorker, type JobSource } from './memory-worker.js';

type FlowJobs = Parameters<Backend['flow']['addBulk']>[0];

/** BullMQ tries a batch again after this long that its worker could do nothing with. Milliseconds. */
const BACKOFF = 1_000;
/** What a timer of Node.js can wait. Milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** A BullMQ queue in this process's memory, as far as the bulk lane uses one. */
export class MemoryBackend implements Backend, JobSource {
  readonly jobs = new MemoryJobs();
  readonly queue: MailJobQueue = queueOf(this);
  readonly bullQueue: BullQueue;
  readonly flow = {
    addBulk: (jobs: FlowJobs): Promise<void> => Promise.resolve(this.add(jobs)),
    close: (): Promise<void> => Promise.resolve(),
  };
  paused = false;
  private readonly listeners = new Set<() => void>();
  private timer: NodeJS.Timeout | undefined;

  /** @param now by which delayed batches are due */
  constructor(
    name: string,
    readonly now: () => number,
  ) {
    this.bullQueue = stubOf(name, this.queue);
  }

  /** Nobody dies in here. */
  hasStalled(): Promise<boolean> {
    return Promise.resolve(false);
  }

  oldestWaiting(): Promise<number | undefined> {
    const times = this.jobs
      .in('wait', 'prioritized')
      .map(({ timestamp, processedOn = 0 }) => Math.max(timestamp, processedOn));
    return Promise.resolve(times.length > 0 ? Math.min(...times) : undefined);
  }

  createWorker(processor: MailJobProcessor, { concurrency = 1 }: { concurrency?: number }): MemoryWorker {
    return new MemoryWorker(this, processor, concurrency);
  }

  take(): MailJob | undefined {
    if (this.paused) return undefined;
    const job = this.jobs.take(this.now());
    return job && this.read(job);
  }

  completed({ id }: MailJob, result: unknown): void {
    this.jobs.put(id!, { state: 'completed', at: Date.now(), result });
  }

  failed({ id }: MailJob, error: Error): void {
    // It was handed back, which its worker then tells with an error.
    if (this.jobs.get(id!)?.place.state !== 'active') return;
    if (error.name === 'UnrecoverableError') {
      this.jobs.put(id!, { state: 'failed', at: Date.now(), reason: error.message });
    } else this.delay(id!, BACKOFF);
  }

  onWork(listener: () => void): () => void {
    this.listeners.add(listener);
    this.wakeInTime();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) clearTimeout(this.timer);
    };
  }

  /** Tells the workers that there may be something to do. */
  wake(): void {
    for (const listener of this.listeners) listener();
    this.wakeInTime();
  }

  delay(id: string, milliseconds: number): void {
    this.jobs.put(id, { state: 'delayed', until: this.now() + milliseconds });
    this.wakeInTime();
  }

  /** A job as BullMQ shows one: what was known of it when it was read. */
  read(job: MemoryJob): MailJob {
    const { id, data, timestamp, attemptsStarted, processedOn, place } = job;
    const finished = place.state === 'completed' || place.state === 'failed' ? place.at : undefined;
    return {
      id,
      data,
      timestamp,
      attemptsStarted,
      processedOn,
      finishedOn: finished,
      returnvalue: place.state === 'completed' ? place.result : null,
      stalledCounter: 0,
      getState: () => {
        const now = this.jobs.get(id);
        return Promise.resolve(now ? stateOf(now) : 'unknown');
      },
      extendLock: () => Promise.resolve(1),
      moveToDelayed: (timestamp) => Promise.resolve(this.delay(id, timestamp - Date.now())),
      retry: (state) => this.retry(id, state ?? 'failed'),
    };
  }

  private add(jobs: FlowJobs): void {
    for (const { name, data, opts } of jobs) {
      // As a store keeps it: what is not JSON does not survive.
      const kept = JSON.parse(JSON.stringify(data)) as unknown;
      const { jobId = '', priority = 0, delay = 0 } = opts ?? {};
      this.jobs.add({ id: jobId, name, data: kept, priority, delay }, Date.now());
    }
    this.wake();
  }

  private retry(id: string, state: 'completed' | 'failed'): Promise<void> {
    if (this.jobs.get(id)?.place.state !== state) {
      return Promise.reject(new Error(`Job ${id} is not in the ${state} state. reprocessJob`));
    }
    this.jobs.wait(id);
    this.wake();
    return Promise.resolve();
  }

  private wakeInTime(): void {
    clearTimeout(this.timer);
    const [next] = this.jobs.in('delayed');
    if (this.listeners.size === 0 || next?.place.state !== 'delayed') return;
    const wait = Math.min(LONGEST, Math.max(0, next.place.until - this.now()));
    this.timer = setTimeout(() => this.wake(), wait).unref();
  }
}

function queueOf(backend: MemoryBackend): MailJobQueue {
  const { jobs } = backend;
  const page = <T>(all: readonly T[], start = 0, end = -1, asc = false): T[] =>
    (asc ? [...all] : all.toReversed()).slice(start, end < 0 ? all.length + end + 1 : end + 1);
  const pause = (paused: boolean): Promise<void> => {
    backend.paused = paused;
    if (!paused) backend.wake();
    return Promise.resolve();
  };
  return {
    isPaused: () => Promise.resolve(backend.paused),
    pause: () => pause(true),
    resume: () => pause(false),
    close: () => Promise.resolve(),
    getJob: (id) => {
      const job = jobs.get(id);
      return Promise.resolve(job && backend.read(job));
    },
    getActive: () => Promise.resolve(jobs.in('active').map((job) => backend.read(job))),
    getJobs: (types = [], start, end, asc) => {
      const found = jobs.in(...[types].flat());
      return Promise.resolve(page(found, start, end, asc).map((job) => backend.read(job)));
    },
    getRanges: (types, start, end, asc) =>
      Promise.resolve(page(jobs.in(...types), start, end, asc).map(({ id }) => id)),
    getJobCounts: (...types: JobType[]) =>
      Promise.resolve(Object.fromEntries(types.map((type) => [type, jobs.in(type).length]))),
    getCountsPerPriority: (priorities) => {
      const waiting = jobs.in('wait', 'prioritized');
      const count = (priority: number): number => waiting.filter((job) => job.priority === priority).length;
      return Promise.resolve(Object.fromEntries(priorities.map((priority) => [String(priority), count(priority)])));
    },
    getDelayedCount: (before = Infinity) => {
      const by = Math.max(before - 1, backend.now());
      const due = jobs.in('delayed').filter(({ place }) => place.state === 'delayed' && place.until <= by);
      return Promise.resolve(due.length);
    },
    getBackend: () => ({
      promote: (id) => {
        if (jobs.get(id)?.place.state !== 'delayed') return Promise.reject(new Error(`Job ${id} is not delayed`));
        jobs.wait(id);
        backend.wake();
        return Promise.resolve();
      },
      remove: (id) => Promise.resolve(jobs.get(id)?.place.state !== 'active' && jobs.remove(id) ? 1 : 0),
      moveJobFromActiveToWait: (id) => {
        jobs.wait(id);
        return Promise.resolve(0);
      },
    }),
  };
}

/** For whoever injects BullMQ's queue: what the bulk lane uses of one works, and anything else says what is the matter. */
function stubOf(name: string, queue: MailJobQueue): BullQueue {
  const nothing = (): void => undefined;
  const more: Record<string, unknown> = {
    name,
    opts: {},
    // Dashboards look at it to tell BullMQ's queues from others.
    metaValues: { version: 'bullmq:memory' },
    on: nothing,
    once: nothing,
    off: nothing,
  };
  return new Proxy(queue, {
    get(target, key) {
      if (typeof key === 'symbol' || key in target) return Reflect.get(target, key) as unknown;
      if (key in more) return more[key];
      // Nest and `await` ask any object for these.
      if (key === 'then' || /^(on|before)[A-Z]/.test(key)) return undefined;
      return () => {
        throw new Error(
          `The queue ${name} is in memory, as the mail module is under test, and has no ${key}(). Use MailFake to look into it.`,
        );
      };
    },
  }) as unknown as BullQueue;
}
