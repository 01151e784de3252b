import { cpus } from 'node:os';
import { reasonOf } from '../../errors.js';
import { CpuShare } from './cpu-share.js';
import { freeDisk, freeMemory, loadAverage } from './machine.js';
import type { MailServer } from './mail-server.js';

/** What the agent answers. What cannot be read is left out. */
export interface ServerStatus {
  /** Load average of the last minute, per core; on Windows the share of the cores that were busy. */
  load?: number;
  cores: number;
  /** Percent. */
  freeMemory?: number;
  /** Of the disk that the spool lies on, in percent. */
  freeDisk?: number;
  /** Messages in the mail server's queue. */
  queue?: number;
  mailServer: string;
  /** When it was read, in ISO 8601. */
  at: string;
}

/** Milliseconds. A status is given out again as long as it is no older. */
const FRESH = 1_000;
/** Reading the queue takes at most one part of so many of the time. */
const SPARE = 20;

/** Reads the figures: those of the machine when they are asked for, the length of the queue in the background. */
export class StatusReader {
  private readonly cpuShare = loadAverage() === undefined ? new CpuShare() : undefined;
  private last: { at: number; status: Promise<ServerStatus> } | undefined;
  private queue: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  /** What could not be read, so that it is told once. */
  private readonly unreadable = new Set<string>();

  constructor(
    private readonly server: MailServer,
    private readonly onProblem: (message: string) => void,
  ) {}

  start(): void {
    const { queue } = this.server;
    if (queue) void this.readQueue(queue);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.cpuShare?.stop();
  }

  get(): Promise<ServerStatus> {
    const now = performance.now();
    if (!this.last || now - this.last.at >= FRESH) this.last = { at: now, status: this.compose() };
    return this.last.status;
  }

  private async readQueue(read: () => Promise<number>): Promise<void> {
    const begun = performance.now();
    this.queue = await this.read('queue', read());
    if (this.stopped) return;
    const wait = Math.max(this.server.every, SPARE * (performance.now() - begun));
    this.timer = setTimeout(() => void this.readQueue(read), wait);
    this.timer.unref();
  }

  private async compose(): Promise<ServerStatus> {
    const { spool, name } = this.server;
    const cores = cpus().length;
    const average = loadAverage();
    const load = average === undefined ? this.cpuShare?.value : average / cores;
    const [memory, disk] = await Promise.all([
      this.read('memory', freeMemory()),
      spool === undefined ? undefined : this.read('disk', freeDisk(spool)),
    ]);
    const { queue } = this;
    return {
      ...(load === undefined ? {} : { load: Math.round(load * 1_000) / 1_000 }),
      cores,
      ...(memory === undefined ? {} : { freeMemory: memory }),
      ...(disk === undefined ? {} : { freeDisk: disk }),
      ...(queue === undefined ? {} : { queue }),
      mailServer: name,
      at: new Date().toISOString(),
    };
  }

  private async read<T>(what: string, reading: Promise<T>): Promise<T | undefined> {
    try {
      const value = await reading;
      this.unreadable.delete(what);
      return value;
    } catch (error) {
      if (!this.unreadable.has(what)) this.onProblem(`The ${what} cannot be read: ${reasonOf(error)}`);
      this.unreadable.add(what);
      return undefined;
    }
  }
}
