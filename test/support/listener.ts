import { once } from 'node:events';
import type { Server } from 'node:net';
import { freePort } from './free-port.js';

/** A server's listening on a loopback port, which can be given up and taken again while its connections live on. */
export class Listener {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async open(server: Server): Promise<Listener> {
    const listener = new Listener(server, await freePort());
    await listener.resume();
    return listener;
  }

  /** New connections are refused from here on; established ones are left alone. */
  pause(): void {
    if (this.#server.listening) this.#server.close();
  }

  async resume(): Promise<void> {
    if (this.#server.listening) return;
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
  }
}
