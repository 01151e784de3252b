import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from '../../test/support/temp.js';
import { usedMemory } from '../lib/redis-memory.js';
import { Remote } from '../lib/remote.js';
import { redisUrl } from '../lib/stores.js';
import type { JobOptions } from './job-process.js';
import type { MailOptions, Mailing } from './mail-process.js';
import type { Memory } from './memory.js';
import type { Taken } from './sink-process.js';

/** Of the attachment. */
const BYTES = 5_000_000;
const FILE = 'terms.pdf';
/** Milliseconds; long enough for a machine with other work. */
const PATIENCE = 1_800_000;
const LOOK = 100;

export interface Step {
  what: string;
  mails: number;
  seconds: number;
  /** That Redis has grown by, in bytes, while they waited. */
  queued: number;
  producer: Memory;
  worker: Memory;
}

const folder = temporaryFolder('attachment');
const store = pathToFileURL(temporaryFolder('store')).href;
const content = randomBytes(BYTES);
writeFileSync(join(folder, FILE), content);
const hash = createHash('sha256').update(content).digest('hex');
let database = 0;

/** A producer and a worker, each a process of its own, and the server that the mails go to. */
export class Field {
  /** What makes the figures worthless. */
  readonly faults: string[] = [];
  #mails = 0;

  private constructor(
    readonly redis: string,
    readonly sink: Remote,
    readonly producer: Remote,
    readonly worker: Remote,
  ) {}

  static async start(program: string, more: Partial<JobOptions>): Promise<Field> {
    const redis = `${await redisUrl()}/${database++}`;
    const sink = await Remote.start(new URL('./sink-process.ts', import.meta.url));
    const port = await sink.ask<number>('listen', hash);
    const boot = async (worker: boolean): Promise<Remote> => {
      const remote = await Remote.start(new URL(program, import.meta.url));
      const options: MailOptions = { redis, sink: `smtp://127.0.0.1:${port}`, store, folder, worker, ...more };
      await remote.ask('boot', options);
      return remote;
    };
    return new Field(redis, sink, await boot(false), await boot(true));
  }

  /** Queues them while nobody works, and then lets the worker send them. */
  async deliver({ first, count, by }: Omit<Mailing, 'id' | 'file'>): Promise<Step> {
    console.log(`${count.toLocaleString('en')} more by ${by}`);
    const { producer, worker } = this;
    await producer.ask('pause');
    await sleep(LOOK);
    const empty = await usedMemory(this.redis);
    await Promise.all([producer.ask('memory'), worker.ask('memory')]);
    await producer.ask('queue', { id: `terms-${first}`, file: FILE, first, count, by } satisfies Mailing, PATIENCE);
    const queued = (await usedMemory(this.redis)) - empty;
    const started = performance.now();
    await producer.ask('resume');
    this.#mails += count;
    const taken = await this.#arrived();
    const seconds = (performance.now() - started) / 1_000;
    this.#check(taken);
    return {
      what: by,
      mails: count,
      seconds,
      queued,
      producer: await producer.ask<Memory>('memory'),
      worker: await worker.ask<Memory>('memory'),
    };
  }

  async stop(): Promise<void> {
    await Promise.all([this.producer, this.worker, this.sink].map((remote) => remote.stop()));
  }

  async #arrived(): Promise<Taken> {
    const deadline = performance.now() + PATIENCE;
    for (;;) {
      const taken = await this.sink.ask<Taken>('taken');
      if (taken.mails >= this.#mails) return taken;
      if (performance.now() > deadline) throw new Error(`Of ${this.#mails} mails ${taken.mails} came`);
      await sleep(LOOK);
    }
  }

  #check({ mails, twice, right, wrong, octets }: Taken): void {
    if (mails !== this.#mails || twice > 0)
      this.faults.push(`${mails} mails of ${this.#mails} came, ${twice} of them again`);
    if (wrong > 0 || right === 0) this.faults.push(`the file was another one in ${wrong} of ${right + wrong} mails`);
    if (octets < mails * BYTES * 1.33) this.faults.push(`${mails} mails had ${octets} octets, which is too little`);
  }
}
