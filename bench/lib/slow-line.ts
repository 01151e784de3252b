import { once } from 'node:events';
import { connect } from 'node:net';
import { Remote } from './remote.js';

/** Of one connection: smtp-server hangs up on clients that say much before they have logged in. */
const NOOPS = 5;

/** A line to an SMTP server that adds its delay each way, TCP's handshake included, in a process of its own. */
export class SlowLine {
  readonly port: number;

  private constructor(port: number) {
    this.port = port;
  }

  /**
   * @param target port of an SMTP server
   * @param roundTrip milliseconds that a NOOP is to take; what processes and sockets add is part of it
   */
  static async open(target: number, roundTrip: number): Promise<SlowLine> {
    const remote = await Remote.start(new URL('./slow-line-process.ts', import.meta.url));
    const line = new SlowLine(await remote.ask<number>('open', target));
    await remote.ask('delay', roundTrip / 2);
    await line.measure(10);
    // The fastest one: a line that is set while the machine is busy must not turn out faster than it says.
    const added = Math.min(...(await line.measure(20))) - roundTrip;
    await remote.ask('delay', (roundTrip - added) / 2);
    return line;
  }

  /** Milliseconds that NOOPs really take over this line, one after the other. */
  async measure(count: number): Promise<number[]> {
    const took: number[] = [];
    while (took.length < count) took.push(...(await this.#converse(Math.min(count - took.length, NOOPS))));
    return took;
  }

  async #converse(count: number): Promise<number[]> {
    const socket = connect({ port: this.port, host: '127.0.0.1', noDelay: true });
    const closed = once(socket, 'close').then(() => {
      throw new Error('The server hung up on NOOPs');
    });
    closed.catch(() => undefined);
    const answer = () => Promise.race([once(socket, 'data'), closed]);
    await answer();
    const took: number[] = [];
    while (took.length < count) {
      const started = performance.now();
      socket.write('NOOP\r\n');
      await answer();
      took.push(performance.now() - started);
    }
    socket.destroy();
    return took;
  }
}
