import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { atEnd, lastResort } from './cleanup.js';
import { eventually } from './eventually.js';

export interface ServerCommand {
  command: string;
  args: string[];
  /** What it prints, on either stream, once it takes connections, or a check that then holds. */
  ready: RegExp | (() => Promise<boolean>);
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** The user to run as; the current one when absent. */
  uid?: number;
  gid?: number;
  /** Signals reach its child processes too, for servers whose children live on without it; default false. */
  group?: boolean;
}

const maxOutput = 65_536;

/** A server program that a test starts, ends in any way it likes, and starts again; dead when the test file ends. */
export class ServerProcess {
  readonly #server: ServerCommand;
  #child: ChildProcess | undefined;
  #output = '';

  constructor(server: ServerCommand) {
    this.#server = server;
    atEnd(() => this.end('SIGKILL'));
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** The end of what the program has printed since its last start. */
  get output(): string {
    return this.#output;
  }

  /** @throws when the program ends before it is ready, with what it printed */
  async start({ within = 20_000 } = {}): Promise<void> {
    if (this.#child) throw new Error(`${this.#server.command} is running already`);
    const { command, args, ready, group = false, ...options } = this.#server;
    const child = spawn(command, args, { ...options, detached: group, stdio: ['ignore', 'pipe', 'pipe'] });
    const forget = lastResort(() => this.#signal(child, 'SIGKILL'));
    this.#child = child;
    this.#output = '';
    const collect = (text: string) => (this.#output = (this.#output + text).slice(-maxOutput));
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    child.once('error', (error) => collect(error.message));
    child.once('close', () => {
      forget();
      if (this.#child === child) this.#child = undefined;
    });

    try {
      const isReady = ready instanceof RegExp ? () => ready.test(this.#output) : ready;
      await eventually(() => !this.#child || isReady(), { within });
    } catch (error) {
      await this.end('SIGKILL');
      throw new Error(`${command} was not ready within ${within} ms:\n${this.#output}`, { cause: error });
    }
    if (!this.#child) throw new Error(`${command} ended at once:\n${this.#output}`);
  }

  /** Sends a signal and waits for the end of the program; one that has ended already is fine. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const closed = once(child, 'close');
    this.#signal(child, signal);
    await closed;
  }

  #signal(child: ChildProcess, signal: NodeJS.Signals): void {
    if (!this.#server.group || child.pid === undefined) return void child.kill(signal);
    try {
      process.kill(-child.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
