import { execFile } from 'node:child_process';
import { chown } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import { freePort } from './free-port.js';
import { ServerProcess } from './server-process.js';
import { unprivilegedUser } from './system-user.js';
import { temporaryFolder } from './temp.js';

const run = promisify(execFile);

/** A PostgreSQL data folder and its server, on loopback, without passwords. */
export class PostgresCluster {
  readonly url: string;
  readonly #server: ServerProcess;

  private constructor(url: string, server: ServerProcess) {
    this.url = url;
    this.#server = server;
  }

  /**
   * Makes the data folder; {@link start} is next.
   *
   * @param own settings of the server instead of those of tests, such as `{ fsync: 'on' }`
   */
  static async create(own: Record<string, string> = {}): Promise<PostgresCluster> {
    const initdb = findProgram(servers.postgres);
    if (!initdb) throw new Error('This test stops PostgreSQL, so it needs initdb on this machine');

    const folder = temporaryFolder('postgres');
    const user = await unprivilegedUser('postgres', 'nobody');
    if (user) await chown(folder, user.uid, user.gid);
    const data = join(folder, 'data');
    await run(
      initdb,
      [
        '--pgdata',
        data,
        '--username',
        'postgres',
        '--auth',
        'trust',
        '--encoding',
        'UTF8',
        '--locale',
        'C',
        '--no-sync',
      ],
      { cwd: folder, ...user },
    );

    const port = await freePort();
    const settings = {
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: folder,
      max_connections: 200,
      // Spares the disk. What was committed still survives a killed server, only not a power cut.
      fsync: 'off',
      full_page_writes: 'off',
      ...own,
    };
    const server = new ServerProcess({
      command: join(dirname(initdb), 'postgres'),
      args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      ready: /database system is ready to accept connections/,
      cwd: folder,
      ...user,
    });
    return new PostgresCluster(`postgres://postgres@127.0.0.1:${port}/postgres`, server);
  }

  async start(): Promise<void> {
    const deadline = performance.now() + 20_000;
    for (;;) {
      try {
        return await this.#server.start();
      } catch (error) {
        // After a kill the old server's children hold its memory until they have noticed, and block a new one.
        const settling = /shared memory block|lock file|recovering/.test(this.#server.output);
        if (!settling || performance.now() > deadline) throw error;
      }
    }
  }

  async stop(): Promise<void> {
    await this.#server.end('SIGINT');
  }

  async kill(): Promise<void> {
    await this.#server.end('SIGKILL');
  }
}
