import { type TsChild, spawnTs } from '../../test/support/child.js';
import { REPLY, type Reply } from './serve.js';

/** Milliseconds; long enough for a machine with other work. */
const PATIENCE = 120_000;

/** A process that does as it is asked, so that what it does costs the asking process no time. */
export class Remote {
  readonly #child: TsChild;
  #last: Promise<unknown>;

  private constructor(child: TsChild) {
    this.#child = child;
    this.#last = this.#reply();
  }

  /** @param file a program that calls `serve()` */
  static async start(file: URL, args: string[] = []): Promise<Remote> {
    const remote = new Remote(spawnTs(file, args));
    await remote.#last;
    return remote;
  }

  /**
   * One at a time: a second call waits for the first.
   *
   * @param within milliseconds it may take
   * @throws what went wrong there, with its stack
   */
  ask<T = void>(name: string, argument?: unknown, within = PATIENCE): Promise<T> {
    const answer = this.#last.then(() => {
      this.#child.write(JSON.stringify([name, argument]));
      return this.#reply(within);
    });
    this.#last = answer.catch(() => undefined);
    return answer as Promise<T>;
  }

  stop(): Promise<void> {
    return this.#child.kill('SIGTERM');
  }

  async #reply(within = PATIENCE): Promise<unknown> {
    const line = await this.#child.line((text) => text.startsWith(REPLY), within);
    const reply = JSON.parse(line.slice(REPLY.length)) as Reply;
    if ('error' in reply) throw new Error(`In process ${this.#child.pid}: ${reply.error}`);
    return reply.result;
  }
}
