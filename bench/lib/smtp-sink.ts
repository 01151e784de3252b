import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import { atEnd, lastResort } from '../../test/support/cleanup.js';
import { eventually } from '../../test/support/eventually.js';
import { freePort } from '../../test/support/free-port.js';
import { greets } from '../../test/support/mail-server.js';
import { temporaryFolder } from '../../test/support/temp.js';
import type { Sink } from './sink.js';

/** Milliseconds between looks at the counter. */
const LOOK = 3;
const tail = Buffer.alloc(200);

/**
 * Postfix's smtp-sink. It writes its counter for each mail: into a file, of which only the end is looked at, because whoever
 * read all of that from a pipe would take the processor from those who are measured.
 */
export class SmtpSink implements Sink {
  readonly url: string;
  readonly #counter: number;
  readonly #child: ChildProcess;

  private constructor(port: number, counter: number, child: ChildProcess) {
    this.url = `smtp://127.0.0.1:${port}`;
    this.#counter = counter;
    this.#child = child;
  }

  static async start(): Promise<SmtpSink> {
    const command = findProgram(servers.smtpSink) ?? 'smtp-sink';
    const port = await freePort();
    const counter = openSync(join(temporaryFolder('sink'), 'counter'), 'w+');
    // It wants to be told whom to become when it is started by root.
    const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    const args = ['-c', '-m', '1000', ...user, `127.0.0.1:${port}`, '1000'];
    const child = spawn(command, args, { stdio: ['ignore', counter, 'ignore'] });
    child.once(
      'close',
      lastResort(() => child.kill('SIGKILL')),
    );
    const sink = new SmtpSink(port, counter, child);
    atEnd(async () => {
      await sink.stop();
      closeSync(counter);
    });
    await eventually(() => greets(port));
    return sink;
  }

  async reached(total: number, within: number): Promise<void> {
    const deadline = performance.now() + within;
    while (this.#read() < total) {
      if (performance.now() > deadline) throw new Error(`Of ${total} mails ${this.#read()} came within ${within} ms`);
      await sleep(LOOK);
    }
  }

  async count(): Promise<number> {
    return this.#read();
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    await once(this.#child, 'close');
  }

  #read(): number {
    const { size } = fstatSync(this.#counter);
    const length = readSync(this.#counter, tail, 0, tail.length, Math.max(0, size - tail.length));
    return Number(/.*mesg=(\d+)\s/s.exec(tail.toString('latin1', 0, length))?.[1] ?? 0);
  }
}
