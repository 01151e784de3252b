import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { atEnd } from '../../test/support/cleanup.js';

/** The line to a server, which counts how often somebody waited for an answer on it. */
export interface CountingProxy {
  port: number;
  /** Round trips so far: each time that a client wrote after it had read, or for the first time. */
  readonly roundTrips: number;
}

/** @param target a port on loopback */
export async function startCountingProxy(target: number): Promise<CountingProxy> {
  let roundTrips = 0;
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    let asks = false;
    client.on('data', (chunk) => {
      if (!asks) roundTrips++;
      asks = true;
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      asks = false;
      client.write(chunk);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  atEnd(() => void server.close());
  return {
    port: (server.address() as AddressInfo).port,
    get roundTrips() {
      return roundTrips;
    },
  };
}
