import { Remote } from './remote.js';
import type { Sink } from './sink.js';

export interface RecordingSinkOptions {
  /** Milliseconds until it answers to a message, during which the connection waits. Default 0. */
  delay?: number;
  /** Keeps what {@link RecordingSink.mails} tells. */
  record?: boolean;
}

export interface RecordedMail {
  /** Of RCPT TO. */
  recipients: string[];
  /** The header fields. */
  to: string;
  subject: string;
  bytes: number;
}

/** An SMTP server in a process of its own that can be slow and knows what it was given. */
export class RecordingSink implements Sink {
  readonly ports: readonly number[];
  readonly #remote: Remote;

  private constructor(remote: Remote, ports: number[]) {
    this.#remote = remote;
    this.ports = ports;
  }

  /** @param ports how many it listens on, whose mails are told apart */
  static async start(options: RecordingSinkOptions = {}, ports = 1): Promise<RecordingSink> {
    const remote = await Remote.start(new URL('./recording-sink-process.ts', import.meta.url));
    const open: number[] = [];
    while (open.length < ports) open.push(await remote.ask<number>('listen', options));
    return new RecordingSink(remote, open);
  }

  get url(): string {
    return `smtp://127.0.0.1:${this.ports[0]}`;
  }

  reached(total: number, within: number): Promise<void> {
    return this.#remote.ask('reached', total, within);
  }

  async count(): Promise<number> {
    return (await this.counts()).reduce((sum, count) => sum + count, 0);
  }

  /** Of each port. */
  async counts(): Promise<number[]> {
    const counts = await this.#remote.ask<Record<number, number>>('counts');
    return this.ports.map((port) => counts[port] ?? 0);
  }

  mails(): Promise<RecordedMail[]> {
    return this.#remote.ask('mails');
  }

  stop(): Promise<void> {
    return this.#remote.stop();
  }
}
