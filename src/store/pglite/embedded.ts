import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Opening } from '../opening.js';
import { loadPeer } from '../../peer.js';
import { RECORDS_SCHEMA, SqlRecords } from '../sql-records.js';
import { QUEUE_SCHEMA, type Migrate, type SqlStore } from '../store.js';
import type { StoreTarget } from '../target.js';
import { createDatabase, Database } from './database.js';
import { FolderLock } from './lock.js';
import { EmbeddedPool } from './pool.js';

interface Opened {
  database: Database;
  lock?: FolderLock;
}

/** PostgreSQL inside this process, its data in a folder that one process at a time may open. */
export async function openEmbedded(
  target: Extract<StoreTarget, { kind: 'embedded' }>,
  prefix: string,
  options: { migrate: Migrate; lockTimeout: number },
): Promise<SqlStore> {
  await loadPeer('@electric-sql/pglite', () => import('@electric-sql/pglite'), 'The embedded queue');
  const data = 'folder' in target ? join(target.folder, 'data') : undefined;
  const opening = new Opening(start);
  const pool = new EmbeddedPool(async () => (await opening.get()).database);

  async function start(): Promise<Opened> {
    const lock = 'folder' in target ? await hold(target.folder) : undefined;
    try {
      if (data !== undefined && !(await isThere(data))) await create(data);
      const database = await Database.start(data, {
        notify: (channel, payload) => pool.notify(channel, payload),
        ended: () => void lock?.release().finally(() => opening.reset()),
      });
      await database.query(RECORDS_SCHEMA);
      await options.migrate(database);
      await database.query(`SET search_path TO ${QUEUE_SCHEMA}`);
      return { database, ...(lock ? { lock } : {}) };
    } catch (error) {
      await lock?.release();
      throw error;
    }
  }

  async function hold(folder: string): Promise<FolderLock> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return FolderLock.acquire(folder, options.lockTimeout);
  }

  return {
    kind: 'embedded',
    pool,
    records: new SqlRecords(pool, prefix),
    exists: () => (data === undefined ? Promise.resolve(true) : isThere(data)),
    async ready(): Promise<void> {
      await opening.get();
    },
    opened: opening.opened,
    get closed() {
      return opening.closed;
    },
    async close(): Promise<void> {
      const parts = await opening.close();
      await parts?.database.close();
      await parts?.lock?.release();
    },
  };
}

/** Created beside its place and moved there when it is whole: a process that dies meanwhile leaves no half database. */
async function create(data: string): Promise<void> {
  const unfinished = `${data}.new`;
  await rm(unfinished, { recursive: true, force: true });
  await createDatabase(unfinished);
  await rename(unfinished, data);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
