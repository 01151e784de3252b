import type { Socket } from 'node:net';
import type { PoolConfig } from 'pg';
import { Opening } from './opening.js';
import { loadPeer } from '../peer.js';
import { RECORDS_SCHEMA, SqlRecords } from './sql-records.js';
import { QUEUE_SCHEMA, type Migrate, type SqlPool, type SqlStore } from './store.js';
import type { PostgresPool, StoreTarget } from './target.js';

const CONNECT_TIMEOUT = 5_000;
/** Two of them are a worker's: one listens. */
const POOL_SIZE = 10;

/** @param prefix of this mailer's record keys */
export async function openPostgres(
  target: Extract<StoreTarget, { kind: 'postgres' }>,
  prefix: string,
  migrate: Migrate,
  onError: (error: Error) => void,
): Promise<SqlStore> {
  const { default: pg } = await loadPeer('pg', () => import('pg'), 'A queue on PostgreSQL');
  const given: PoolConfig = 'url' in target ? { connectionString: target.url } : optionsOf(target.pool);
  // A pool of our own, also beside a caller's: the queue needs its own search path, and each worker keeps a connection.
  const pool = new pg.Pool({
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    ...given,
    max: POOL_SIZE,
    keepAlive: true,
    options: [given.options, `-c search_path=${QUEUE_SCHEMA}`].filter(Boolean).join(' '),
  });
  pool.on('error', onError);
  const sockets = new Set<Socket>();
  pool.on('connect', (client) => {
    // The pool listens to idle clients alone: one that breaks while somebody has it would end the process. Who has it hears
    // of it by its query.
    client.on('error', () => undefined);
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    sockets.add(stream);
    stream.once('close', () => sockets.delete(stream));
  });
  const opening = new Opening(prepare);

  async function prepare(): Promise<void> {
    const client = await pool.connect();
    try {
      // Two processes that boot at once must not create the same table.
      await client.query('SELECT pg_advisory_lock(hashtext($1))', ['priority_mail']);
      try {
        await client.query(RECORDS_SCHEMA);
        await migrate(client);
      } finally {
        await client.query('SELECT pg_advisory_unlock(hashtext($1))', ['priority_mail']);
      }
    } finally {
      client.release();
    }
  }

  return {
    kind: 'postgres',
    pool: pool as unknown as SqlPool,
    records: new SqlRecords(pool, prefix),
    exists: () => Promise.resolve(true),
    ready: () => opening.get(),
    opened: opening.opened,
    get closed() {
      return opening.closed;
    },
    async close(within: number): Promise<void> {
      // A server that does not answer keeps what is under way for ever: then the sockets are cut.
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, within);
      try {
        await opening.close();
        await pool.end();
      } finally {
        clearTimeout(cut);
      }
    },
  };
}

/** What a pool was made with. pg hides the password from enumeration, so it does not come along by itself. */
function optionsOf({ options }: PostgresPool): PoolConfig {
  const { password } = options as PoolConfig;
  return { ...options, ...(password === undefined ? {} : { password }) };
}
