import { createHash, randomBytes } from 'node:crypto';
import { link, open, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailQueueUnavailableError } from '../../errors.js';

const NAME = 'lock.sock';
const RETRY_EVERY = 100;
const SETTLE = 30;
const ANSWER_WITHIN = 1_000;

/** Who holds a folder. */
interface Holder {
  pid: number;
}

/**
 * Holds a folder for this process alone: a Unix socket in it that answers. A pid in a file would not do, since every
 * container's process is number 1; and a socket is let go by the system however its process dies.
 */
export class FolderLock {
  private constructor(
    private readonly server: Server,
    private readonly path: string,
    private readonly directory: FileHandle | undefined,
  ) {}

  /**
   * @param within milliseconds that another process may take to let go, such as one that is being restarted
   * @throws MailQueueUnavailableError naming the other process
   */
  static async acquire(folder: string, within: number): Promise<FolderLock> {
    const deadline = Date.now() + within;
    for (;;) {
      const taken = await FolderLock.tryAcquire(folder);
      if (taken instanceof FolderLock) return taken;
      if (Date.now() >= deadline) {
        throw new MailQueueUnavailableError(
          `The embedded queue in ${folder} is in use by process ${taken.pid}. One process at a time can open it: ` +
            'stop the other one, give this one a folder of its own (queue.connection), or use Redis or PostgreSQL for several.',
        );
      }
      await sleep(RETRY_EVERY);
    }
  }

  private static async tryAcquire(folder: string): Promise<FolderLock | Holder> {
    if (process.platform === 'win32') return tryPipe(folder);
    const { base, directory } = await shortPath(folder);
    const path = join(base, NAME);
    // Bound under a name of its own first and then linked to the real one, which fails if that exists: two processes that
    // find a dead socket at the same time cannot both replace it.
    const own = join(base, `lock-${randomBytes(6).toString('hex')}`);
    const server = await listen(own);
    const giveUp = async (holder: Holder): Promise<Holder> => {
      server.close();
      await directory?.close();
      return holder;
    };
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        await link(own, path);
        if (await staysLinked(own, path)) {
          await unlink(own);
          return new FolderLock(server, path, directory);
        }
      } catch (error) {
        if ((error as { code?: string }).code !== 'EEXIST') throw error;
      }
      const holder = await ask(path);
      if (holder) return giveUp(holder);
      await removeDead(path, base);
    }
    return giveUp({ pid: 0 });
  }

  async release(): Promise<void> {
    await unlink(this.path).catch(() => undefined);
    await new Promise((resolve) => this.server.close(resolve));
    await this.directory?.close();
  }

  /** @internal */
  static of(server: Server): FolderLock {
    return new FolderLock(server, '', undefined);
  }
}

/** A socket's path may have some 100 bytes. Linux reaches a deep folder by a descriptor of it. */
async function shortPath(folder: string): Promise<{ base: string; directory?: FileHandle }> {
  if (process.platform !== 'linux' || Buffer.byteLength(folder) < 70) return { base: folder };
  const directory = await open(folder);
  return { base: `/proc/self/fd/${directory.fd}`, directory };
}

/** A process that found a dead socket here a moment ago may have moved ours away in the belief that it was that one. */
async function staysLinked(own: string, path: string): Promise<boolean> {
  await sleep(SETTLE);
  const [ours, there] = await Promise.all([stat(own), stat(path).catch(() => undefined)]);
  return ours.ino === there?.ino;
}

/** Moves a socket nobody answers on out of the way; puts it back if somebody does after all. */
async function removeDead(path: string, base: string): Promise<void> {
  const aside = join(base, `dead-${randomBytes(6).toString('hex')}`);
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if (await ask(aside)) await link(aside, path).catch(() => undefined);
  await unlink(aside).catch(() => undefined);
}

/** A pipe's name is free again the moment its process is gone. */
async function tryPipe(folder: string): Promise<FolderLock | Holder> {
  const name = createHash('sha256').update(folder.toLowerCase()).digest('hex').slice(0, 32);
  const path = `\\\\.\\pipe\\priority-mail-${name}`;
  try {
    return FolderLock.of(await listen(path));
  } catch (error) {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    return (await ask(path)) ?? { pid: 0 };
  }
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(JSON.stringify({ pid: process.pid } satisfies Holder));
  });
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** The process behind a socket, or undefined when there is none. One that is stopped or busy does not answer but lives. */
function ask(path: string): Promise<Holder | undefined> {
  return new Promise((resolve) => {
    let text = '';
    let connected = false;
    const socket = createConnection(path);
    const done = (): void => {
      socket.destroy();
      try {
        resolve(JSON.parse(text) as Holder);
      } catch {
        resolve(connected ? { pid: 0 } : undefined);
      }
    };
    socket.setTimeout(ANSWER_WITHIN, done);
    socket.on('connect', () => (connected = true));
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', done);
    socket.on('end', done);
  });
}
