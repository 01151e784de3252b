import { setTimeout as sleep } from 'node:timers/promises';
import type { Member } from './member.js';
import type { Scene } from './scene.js';
import type { Fault } from './schedule.js';

/** A fault that was done. Times are milliseconds since the epoch. */
export interface Done {
  fault: Fault;
  /** Messages accepted when it began. */
  accepted: number;
  from: number;
  /** The part was gone, or stopped. */
  gone: number;
  /** It is there again; a process has booted. */
  until: number;
  /** What the processes that it concerns logged in to the mail server as. */
  clients: readonly string[];
}

/** Does faults to the parts of a scene, one at a time to each part. */
export class Faults {
  readonly done: Done[] = [];
  readonly #scene: Scene;
  readonly #last = new Map<unknown, Promise<void>>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  /** Resolves when it is over. */
  begin(fault: Fault): Promise<void> {
    const part = this.#partOf(fault);
    const turn = (this.#last.get(part) ?? Promise.resolve()).then(() => this.#run(fault));
    this.#last.set(part, turn);
    return turn;
  }

  async #run(fault: Fault): Promise<void> {
    const accepted = this.#scene.accepted;
    const from = Date.now();
    const clients = this.#clientsOf(fault);
    const gone = await this.#happen(fault);
    this.done.push({ fault, accepted, from, gone, until: Date.now(), clients });
  }

  /** Resolves, when it is over, to the time at which the part was gone. */
  #happen(fault: Fault): Promise<number> {
    const { store, sink, producer } = this.#scene;
    switch (fault.kind) {
      case 'worker SIGKILL':
        return restart(this.#worker(fault.worker), 'SIGKILL', fault.down);
      case 'worker SIGTERM':
        return restart(this.#worker(fault.worker), 'SIGTERM', fault.down);
      case 'worker SIGSTOP':
        return freeze(this.#worker(fault.worker), fault.frozen);
      case 'producer SIGKILL':
        return restart(producer, 'SIGKILL', fault.down);
      case 'store SIGKILL':
        return restart({ signal: () => store.kill(), start: () => store.start() }, 'SIGKILL', fault.down);
      case 'SMTP server SIGKILL':
        return restart(sink, 'SIGKILL', fault.down);
      case 'SMTP server SIGSTOP':
        return freeze(sink, fault.frozen);
    }
  }

  #clientsOf(fault: Fault): string[] {
    if ('worker' in fault) return [this.#worker(fault.worker).login];
    if (fault.kind === 'producer SIGKILL') return [];
    return this.#scene.workers.map(({ login }) => login);
  }

  #partOf(fault: Fault): unknown {
    if ('worker' in fault) return this.#worker(fault.worker);
    return fault.kind.slice(0, fault.kind.lastIndexOf(' '));
  }

  #worker(number: number): Member {
    return this.#scene.workers[number - 1]!;
  }
}

interface Part {
  signal(signal: NodeJS.Signals): Promise<void>;
}

async function restart(part: Part & { start(): Promise<void> }, signal: NodeJS.Signals, down: number): Promise<number> {
  await part.signal(signal);
  const gone = Date.now();
  await sleep(down);
  await part.start();
  return gone;
}

async function freeze(part: Part, frozen: number): Promise<number> {
  await part.signal('SIGSTOP');
  const gone = Date.now();
  await sleep(frozen);
  await part.signal('SIGCONT');
  return gone;
}
