import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { atEnd } from '../support/cleanup.js';
import { type TsChild, spawnTs } from '../support/child.js';
import { freePort } from '../support/free-port.js';
import { temporaryFolder } from '../support/temp.js';

/** One message that the mail server took. */
export interface Accepted {
  /** Milliseconds since the epoch. */
  at: number;
  /** The process that handed it over, and which of its lives, such as `worker-2.1`. */
  client: string;
  recipient: string;
  messageId: string;
  /** False when the server kept it and hung or cut the connection instead of saying so. */
  answered: boolean;
}

const CHUNK = 1024 * 1024;

/** The mail server of a run, in a process of its own that can be killed, and the record of what it took, which outlives it. */
export class Sink {
  /** All it has taken as of the last {@link read}, in order. */
  readonly accepted: Accepted[] = [];
  readonly port: number;
  readonly #path: string;
  readonly #seed: number;
  readonly #log: number;
  readonly #buffer = Buffer.alloc(CHUNK);
  #rest = '';
  #process: TsChild | undefined;

  private constructor(port: number, path: string, seed: number) {
    this.port = port;
    this.#path = path;
    this.#seed = seed;
    this.#log = openSync(path, 'a+');
    atEnd(() => closeSync(this.#log));
  }

  /** @param seed decides which message it treats how */
  static async start(seed: number): Promise<Sink> {
    const sink = new Sink(await freePort(), join(temporaryFolder('chaos'), 'accepted'), seed);
    await sink.start();
    return sink;
  }

  async start(): Promise<void> {
    const args = [String(this.port), this.#path, String(this.#seed)];
    this.#process = spawnTs(new URL('./sink-process.ts', import.meta.url), args);
    await this.#process.line(/^listening/, 120_000);
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    await this.#process?.kill(signal);
  }

  /** Reads what was written since the last time. Returns how many it has taken in all. */
  read(): number {
    for (;;) {
      const length = readSync(this.#log, this.#buffer, 0, CHUNK, null);
      if (length === 0) return this.accepted.length;
      const lines = (this.#rest + this.#buffer.toString('latin1', 0, length)).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.accepted.push(parse(line));
    }
  }
}

function parse(line: string): Accepted {
  const [at = '', client = '', recipient = '', messageId = '', answered] = line.split(' ');
  return { at: Number(at), client, recipient, messageId, answered: answered === '1' };
}
