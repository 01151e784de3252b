import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Records } from '../store/records.js';
import { keys } from './keys.js';

/** How the workers of all processes on the queue are doing. */
export interface WorkersReport {
  /** Processes with a worker that were heard of in the last 30 seconds. */
  alive: number;
  /** When any was heard of last, as far as a store knows; also of those that are gone. */
  lastSeen?: Date;
  /** Those that are alive, the oldest first. */
  processes: WorkerProcess[];
}

/** One process that has a worker. */
export interface WorkerProcess {
  /** Random, from start to end of its worker. */
  id: string;
  since: Date;
  /** That it had in its hands when it was heard of last. */
  batches: number;
}

export const NO_WORKERS: WorkersReport = { alive: 0, processes: [] };

const RENEW_EVERY = 10_000;
/** Who was not heard of for so long is dead, or cut off. */
const ALIVE_FOR = 3 * RENEW_EVERY;
/** Leaving does not hold up a shutdown for longer. */
const LEAVE_WITHIN = 500;
const FOREVER = 365 * 24 * 3_600_000;

/** What a process says of itself. Times are milliseconds since the epoch. */
interface Beat {
  since: number;
  at: number;
  batches: number;
  gone?: true;
}

/**
 * Makes the worker of this process known to all others while it runs.
 *
 * Each stretch of time has a record of its own, with a field for each process, that vanishes as a whole: one that grew by a
 * field with each process that ever ran would have to be tidied up.
 */
export class Presence {
  private timer: NodeJS.Timeout | undefined;
  private current: { id: string; since: number; batches: () => number } | undefined;
  private writing: Promise<void> = Promise.resolve();

  /** @param opened resolves when the store is there: nothing is created for this */
  constructor(
    private readonly records: Records,
    private readonly opened: Promise<void>,
  ) {}

  /** @param batches that the worker has in its hands */
  begin(batches: () => number): void {
    const current = { id: randomBytes(9).toString('base64url'), since: Date.now(), batches };
    this.current = current;
    void this.opened.then(() => {
      if (this.current !== current) return;
      this.beat();
      this.timer = setInterval(() => this.beat(), RENEW_EVERY);
      this.timer.unref();
    });
  }

  /** It is not counted any more. Never rejects; a store that is away forgets it by itself. */
  async end(): Promise<void> {
    clearInterval(this.timer);
    if (this.current && this.timer) this.beat(true);
    this.timer = undefined;
    this.current = undefined;
    await Promise.race([this.writing, sleep(LEAVE_WITHIN, undefined, { ref: false })]);
  }

  /** The worker of this process alone, where there is no store yet to ask about others. */
  get own(): WorkersReport {
    if (!this.current) return NO_WORKERS;
    const { id, since, batches } = this.current;
    return { alive: 1, processes: [{ id, since: new Date(since), batches: batches() }] };
  }

  private beat(gone = false): void {
    const { id, since, batches } = this.current!;
    const at = Date.now();
    const beat: Beat = { since, at, batches: batches(), ...(gone ? { gone } : {}) };
    // One after the other, so that the last word comes last. The next one makes good for one that is lost.
    this.writing = this.writing.then(() => this.write(id, beat)).catch(() => undefined);
  }

  private async write(id: string, beat: Beat): Promise<void> {
    const page = keys.alive(pageAt(beat.at));
    await this.records.merge([
      { key: page, fields: { [id]: JSON.stringify(beat) } },
      { key: keys.heard, fields: { at: String(beat.at) } },
    ]);
    await this.records.expire([page], beat.at + 3 * ALIVE_FOR);
    await this.records.expire([keys.heard], beat.at + FOREVER);
  }
}

/** Who is alive, in all processes. One round trip. */
export async function readPresence(records: Records, now = Date.now()): Promise<WorkersReport> {
  // The clocks of two machines may differ by a page.
  const pages = [-1, 0, 1].map((offset) => keys.alive(pageAt(now) + offset));
  const [heard, ...found] = await records.get([keys.heard, ...pages]);
  const latest = new Map<string, Beat>();
  for (const fields of found) {
    for (const [id, text] of Object.entries(fields ?? {})) {
      const beat = JSON.parse(text) as Beat;
      const known = latest.get(id);
      if (!known || beat.at > known.at || beat.gone) latest.set(id, beat);
    }
  }
  const processes = [...latest]
    .filter(([, { at, gone }]) => !gone && at > now - ALIVE_FOR)
    .sort(([, one], [, other]) => one.since - other.since)
    .map(([id, { since, batches }]) => ({ id, since: new Date(since), batches }));
  return {
    alive: processes.length,
    ...(heard ? { lastSeen: new Date(Number(heard['at'])) } : {}),
    processes,
  };
}

function pageAt(time: number): number {
  return Math.floor(time / ALIVE_FOR);
}
