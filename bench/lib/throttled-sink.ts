import { setTimeout as sleep } from 'node:timers/promises';
import type { ThrottledSmtpOptions } from '../../test/support/throttled-smtp.js';
import { Remote } from './remote.js';
import type { Sink } from './sink.js';

export interface Taken {
  accepted: number;
  /** Answered with 421. */
  refused: number;
}

/** Milliseconds between looks at the counter. */
const LOOK = 20;

/** An SMTP server in a process of its own that takes so many mails a second, and can be made slow. */
export class ThrottledSink implements Sink {
  readonly url: string;
  readonly #remote: Remote;

  private constructor(remote: Remote, url: string) {
    this.#remote = remote;
    this.url = url;
  }

  static async start(options: ThrottledSmtpOptions = {}): Promise<ThrottledSink> {
    const remote = await Remote.start(new URL('./throttled-sink-process.ts', import.meta.url));
    return new ThrottledSink(remote, await remote.ask<string>('listen', options));
  }

  taken(): Promise<Taken> {
    return this.#remote.ask('taken');
  }

  async count(): Promise<number> {
    return (await this.taken()).accepted;
  }

  async reached(total: number, within: number): Promise<void> {
    const deadline = performance.now() + within;
    for (let count = await this.count(); count < total; count = await this.count()) {
      if (performance.now() > deadline) throw new Error(`Of ${total} mails ${count} came within ${within} ms`);
      await sleep(LOOK);
    }
  }

  /** @param delay milliseconds that each mail takes from now on */
  slowDown(delay: number): Promise<void> {
    return this.#remote.ask('slowDown', delay);
  }

  stop(): Promise<void> {
    return this.#remote.stop();
  }
}
