import type { MailJob, MailJobQueue } from '../queue/backend.js';

/** BullMQ's names of states: of a job's, and of those that can be asked for. */
export type JobState = Exclude<Awaited<ReturnType<MailJob['getState']>>, 'unknown'>;
export type JobType = Parameters<MailJobQueue['getJobCounts']>[number];

/** A batch as it lies in memory. Times are milliseconds since the epoch. */
export interface MemoryJob {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
  /** Smaller goes first; 0 goes before all others. */
  readonly priority: number;
  readonly timestamp: number;
  readonly place: Place;
  readonly attemptsStarted: number;
  readonly processedOn?: number;
}

/** Where a job is. `order` tells when it came to wait. */
export type Place =
  | { state: 'waiting'; order: number }
  | { state: 'delayed'; until: number }
  | { state: 'active' }
  | { state: 'completed'; at: number; result: unknown }
  | { state: 'failed'; at: number; reason: string };

/** The jobs of one queue, in the order in which BullMQ takes them. */
export class MemoryJobs {
  private readonly byId = new Map<string, MemoryJob>();
  private arrivals = 0;

  get(id: string): MemoryJob | undefined {
    return this.byId.get(id);
  }

  /** One of an id that is there already is passed over, as BullMQ does. */
  add(job: Pick<MemoryJob, 'id' | 'name' | 'data' | 'priority'> & { delay: number }, now: number): void {
    if (this.byId.has(job.id)) return;
    const { delay, ...rest } = job;
    const place: Place = delay > 0 ? { state: 'delayed', until: now + delay } : this.lastInLine();
    this.byId.set(job.id, { ...rest, timestamp: now, attemptsStarted: 0, place });
  }

  put(id: string, place: Place): void {
    const job = this.byId.get(id);
    if (job) this.byId.set(id, { ...job, place });
  }

  wait(id: string): void {
    this.put(id, this.lastInLine());
  }

  remove(id: string): boolean {
    return this.byId.delete(id);
  }

  /** The next one to work on, which is then active. */
  take(now: number): MemoryJob | undefined {
    let next: MemoryJob | undefined;
    for (const { id, place } of this.byId.values()) {
      if (place.state === 'delayed' && place.until <= now) this.wait(id);
      const job = this.byId.get(id)!;
      if (job.place.state === 'waiting' && (!next || compare(job, next) < 0)) next = job;
    }
    if (!next) return undefined;
    const attemptsStarted = next.attemptsStarted + 1;
    const taken: MemoryJob = { ...next, place: { state: 'active' }, attemptsStarted, processedOn: Date.now() };
    this.byId.set(next.id, taken);
    return taken;
  }

  /** Those in any of these states: in the order in which they are taken, fall due, or have ended. */
  in(...states: readonly JobType[]): MemoryJob[] {
    const wanted = new Set(states.map((state) => (state === 'wait' ? 'waiting' : state)));
    const found = [...this.byId.values()].filter((job) => wanted.has(stateOf(job)));
    return found.sort(compare);
  }

  private lastInLine(): Place {
    return { state: 'waiting', order: this.arrivals++ };
  }
}

/** By BullMQ's name for it. */
export function stateOf({ place, priority }: MemoryJob): JobState {
  return place.state === 'waiting' && priority > 0 ? 'prioritized' : place.state;
}

function compare(a: MemoryJob, b: MemoryJob): number {
  const [first, second] = [lineOf(a), lineOf(b)];
  return first === second ? rankOf(a) - rankOf(b) : first - second;
}

/** Those that wait are ordered by their priority, and go before those that are to go later. */
function lineOf({ place, priority }: MemoryJob): number {
  if (place.state === 'delayed') return Infinity;
  return place.state === 'waiting' ? priority : 0;
}

function rankOf({ place }: MemoryJob): number {
  switch (place.state) {
    case 'waiting':
      return place.order;
    case 'delayed':
      return place.until;
    case 'active':
      return 0;
    case 'completed':
    case 'failed':
      return place.at;
  }
}
