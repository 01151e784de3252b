import type { Issue } from '../newsletter.js';
import { Remote } from '../remote.js';
import type { Sink } from '../sink.js';
import type { SenderName, SenderOptions } from './sender.js';

/** Milliseconds that one step may take. */
const PATIENCE = 300_000;

/** Milliseconds. */
export interface Delivery {
  mails: number;
  queueing: number;
  /** From the start of the worker on a full queue to the last mail at the server. */
  delivery: number;
  /** Of the sender's process, from that start until it had written everything down. */
  cpu: number;
}

export function perSecond({ mails, delivery }: Delivery): number {
  return mails / (delivery / 1_000);
}

/** Queueing included. */
export function perSecondInAll({ mails, queueing, delivery }: Delivery): number {
  return mails / ((queueing + delivery) / 1_000);
}

let issues = 0;
let subscribers = 0;

/** Each run has an issue of its own, to subscribers of its own. */
export function nextIssue(count: number, bytes: number): Issue {
  const issue = { id: `issue-${issues++}`, bytes, first: subscribers, count };
  subscribers += count;
  return issue;
}

/** A sender in a process of its own. */
export class RemoteSender {
  readonly #process: Remote;

  private constructor(process: Remote) {
    this.#process = process;
  }

  static async start(name: SenderName, options: SenderOptions): Promise<RemoteSender> {
    const process = await Remote.start(new URL('./sender-process.ts', import.meta.url), [name]);
    await process.ask('boot', options);
    return new RemoteSender(process);
  }

  /** @returns the milliseconds it took */
  queue(issue: Issue): Promise<number> {
    return this.#process.ask('queue', issue, PATIENCE);
  }

  /** Delivers what was queued. */
  deliver(): Promise<void> {
    return this.#process.ask('deliver', undefined, PATIENCE);
  }

  /** @returns milliseconds of processor time */
  settle(): Promise<number> {
    return this.#process.ask('settle', undefined, PATIENCE);
  }

  /**
   * Queues and delivers one issue.
   *
   * @param between is awaited while all of it is in the queue
   * @throws when not exactly its mails arrived
   */
  async run(issue: Issue, sink: Sink, between?: () => Promise<void>): Promise<Delivery> {
    const before = await sink.count();
    const queueing = await this.queue(issue);
    await between?.();
    const started = performance.now();
    const reached = sink.reached(before + issue.count, PATIENCE).then(() => performance.now() - started);
    const [delivery] = await Promise.all([reached, this.deliver()]);
    const cpu = await this.settle();
    const arrived = (await sink.count()) - before;
    if (arrived !== issue.count) throw new Error(`${arrived} mails arrived of ${issue.count}`);
    return { mails: issue.count, queueing, delivery, cpu };
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
