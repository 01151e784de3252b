import { type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { atEnd } from './cleanup.js';
import { Listener } from './listener.js';
import { type LineConditions, TcpWire } from './tcp-wire.js';

/** The line between clients and a server, which a test can make slow, silent or cut; removed when the file ends. */
export class TcpProxy {
  readonly port: number;
  readonly #listener: Listener;
  readonly #conditions: LineConditions;
  readonly #wires: Set<TcpWire>;

  constructor(listener: Listener, conditions: LineConditions, wires: Set<TcpWire>) {
    this.port = listener.port;
    this.#listener = listener;
    this.#conditions = conditions;
    this.#wires = wires;
  }

  /** Connections taken so far, closed ones included. */
  get connections(): number {
    return this.#conditions.connections;
  }

  /** Connections open now. */
  get open(): number {
    return this.#wires.size;
  }

  /** Milliseconds that bytes take each way, so that a round trip takes twice that; default 0. */
  get delay(): number {
    return this.#conditions.delay;
  }

  set delay(milliseconds: number) {
    this.#conditions.delay = milliseconds;
  }

  /** Breaks every open connection at once, as a reset on both sides does. */
  cut(): void {
    for (const wire of this.#wires) wire.cut();
  }

  /** Refuses new connections; open ones go on. */
  refuse(): void {
    this.#listener.pause();
  }

  /** Takes connections again after {@link refuse}. */
  accept(): Promise<void> {
    return this.#listener.resume();
  }

  /** Holds back every byte both ways, of new connections too, as an unplugged cable does, until {@link thaw}. */
  freeze(): void {
    this.#conditions.frozen = true;
    for (const wire of this.#wires) wire.pause();
  }

  /**
   * The same for the connections that are open now: new ones work, as after a router on the way has forgotten those it
   * knew. Neither end hears of it.
   */
  freezeOpen(): void {
    for (const wire of this.#wires) wire.pause();
  }

  thaw(): void {
    this.#conditions.frozen = false;
    for (const wire of this.#wires) wire.resume();
  }

  /**
   * Lets bytes up to the end of this pattern reach the server, then cuts that connection before the server's answer comes
   * back: `'\r\n.\r\n'` loses the answer to a message that was handed over. Happens once.
   *
   * @returns resolves when it has happened
   */
  cutAfter(pattern: string | Buffer): Promise<void> {
    return this.#cutAt(pattern, true);
  }

  /** The same before the pattern: the server gets nothing of it, or its beginning if it comes in pieces. */
  cutBefore(pattern: string | Buffer): Promise<void> {
    return this.#cutAt(pattern, false);
  }

  /** Takes back a cut that has not happened. */
  disarm(): void {
    this.#conditions.trap = undefined;
  }

  #cutAt(pattern: string | Buffer, passes: boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#conditions.trap = { pattern: Buffer.from(pattern), passes, sprung: resolve };
    });
  }
}

export interface TcpProxyOptions {
  /**
   * Lets a new connection wait as long as its three packets would on a line with this delay, for protocols in which the
   * server speaks first; default false, since a client is connected as soon as the proxy has accepted it.
   */
  handshake?: boolean;
}

/** @param target a port on loopback, or the URL of what listens there */
export async function startTcpProxy(
  target: number | string,
  { handshake = false }: TcpProxyOptions = {},
): Promise<TcpProxy> {
  const port = typeof target === 'number' ? target : Number(new URL(target).port);
  const conditions: LineConditions = { connections: 0, delay: 0, frozen: false, trap: undefined };
  const wires = new Set<TcpWire>();
  const open = (client: Socket) => {
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const wire = new TcpWire(client, upstream, conditions);
    wires.add(wire);
    client.once('close', () => wires.delete(wire));
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    conditions.connections++;
    if (!handshake) return open(client);
    client.on('error', () => undefined);
    void sleep(3 * conditions.delay).then(() => client.destroyed || open(client));
  });
  const proxy = new TcpProxy(await Listener.open(server), conditions, wires);
  atEnd(() => {
    proxy.refuse();
    proxy.cut();
  });
  return proxy;
}
