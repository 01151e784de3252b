import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import { freePort } from './free-port.js';
import { ServerProcess } from './server-process.js';
import { borrowRedis } from './shared-redis.js';
import { temporaryFolder } from './temp.js';

export interface RedisOptions {
  /** Keep what was acknowledged across {@link RedisServer.kill}; default false. */
  appendonly?: boolean;
  /** Further arguments of redis-server, such as `['--maxmemory', '2mb']`. */
  args?: string[];
}

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Lets it shut down in order. */
  stop(): Promise<void>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data, stopping it first if it still runs. */
  restart(): Promise<void>;
}

/**
 * Starts a Redis of the test's own. Without redis-server on the machine it borrows an empty database of the server in
 * REDIS_URL instead, which cannot be stopped.
 */
export async function startRedis({ appendonly = false, args = [] }: RedisOptions = {}): Promise<RedisServer> {
  const command = findProgram(servers.redis);
  if (!command) return borrowRedis();

  const port = await freePort();
  const server = new ServerProcess({
    command,
    args: [
      ...['--bind', '127.0.0.1', '--port', `${port}`],
      ...['--dir', temporaryFolder('redis')],
      ...['--save', ''],
      ...(appendonly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : []),
      ...args,
    ],
    ready: /Ready to accept connections/,
  });
  await server.start();

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: () => server.end('SIGTERM'),
    kill: () => server.end('SIGKILL'),
    async restart() {
      await server.end('SIGTERM');
      await server.start();
    },
  };
}
