import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

/** The preferred port of 127.0.0.1 if it is free, else any other that is. */
export async function freePort(preferred: number): Promise<number> {
  return (await listenOn(preferred)) ?? (await listenOn(0)) ?? 0;
}

async function listenOn(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  } catch {
    return undefined;
  } finally {
    server.close();
  }
}
