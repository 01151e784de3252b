import type { Socket } from 'node:net';

// Taken now, so that a test's fake clock does not stop the traffic.
const later = globalThis.setTimeout;
const soon = globalThis.setImmediate;
const now = performance.now.bind(performance);

/** What holds for all connections through one proxy. */
export interface LineConditions {
  connections: number;
  /** Milliseconds each way. */
  delay: number;
  frozen: boolean;
  trap: Trap | undefined;
}

/** Cuts the first connection whose client sends the pattern. */
export interface Trap {
  pattern: Buffer;
  /** Whether the pattern still reaches the server. */
  passes: boolean;
  sprung: () => void;
}

/** One connection through a proxy: two sockets and what travels between them. */
export class TcpWire {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #conditions: LineConditions;
  /** The last bytes towards the server: a pattern may arrive in pieces. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(client: Socket, server: Socket, conditions: LineConditions) {
    this.#client = client;
    this.#server = server;
    this.#conditions = conditions;
    this.#carry(client, server, (bytes) => this.#towardsServer(bytes));
    this.#carry(server, client, (bytes) => client.write(bytes));
    if (conditions.frozen) this.pause();
  }

  cut(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  pause(): void {
    this.#client.pause();
    this.#server.pause();
  }

  resume(): void {
    this.#client.resume();
    this.#server.resume();
  }

  #carry(from: Socket, to: Socket, deliver: (bytes: Buffer) => void): void {
    const send = this.#delayed();
    from.on('data', (bytes: Buffer) => send(() => deliver(bytes)));
    from.on('end', () => send(() => to.end()));
    from.on('error', () => send(() => to.resetAndDestroy()));
    from.on('close', () => send(() => to.destroySoon()));
  }

  /** A queue out of which everything comes in order, each item its delay after it went in. */
  #delayed(): (deliver: () => void) => void {
    const queue: { due: number; deliver: () => void }[] = [];
    const drain = () => {
      while (queue[0] && queue[0].due <= now()) queue.shift()?.deliver();
      if (!queue[0]) return;
      // A timer is up to a millisecond late, which would make the line slower than it says.
      const left = queue[0].due - now();
      if (left > 1) later(drain, left - 1);
      else soon(drain);
    };
    return (deliver) => {
      const due = now() + this.#conditions.delay;
      queue.push({ due: Math.max(due, queue.at(-1)?.due ?? 0), deliver });
      if (queue.length === 1) drain();
    };
  }

  #towardsServer(bytes: Buffer): void {
    const { trap } = this.#conditions;
    const seen = trap ? Buffer.concat([this.#tail, bytes]) : bytes;
    const at = trap ? seen.indexOf(trap.pattern) : -1;
    if (!trap || at < 0) {
      this.#tail = trap ? seen.subarray(-trap.pattern.length) : Buffer.alloc(0);
      this.#server.write(bytes);
      return;
    }
    const end = trap.passes ? at + trap.pattern.length : at;
    this.#server.write(bytes.subarray(0, Math.max(0, end - this.#tail.length)));
    this.#conditions.trap = undefined;
    this.#client.resetAndDestroy();
    // An orderly end, so that the server still reads all that was written to it.
    this.#server.end();
    trap.sprung();
  }
}
