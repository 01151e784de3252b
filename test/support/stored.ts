import type { Redis } from 'ioredis';
import { migrateQueue } from '../../src/queue/backend.js';
import { openStore } from '../../src/store/open.js';
import type { DurableStore } from '../../src/store/store.js';
import { parseTarget } from '../../src/store/target.js';

/** Opens a store beside the application, or after it where it is embedded, for as long as `look` takes. */
export async function lookInto<T>(connection: string, look: (store: DurableStore) => Promise<T>): Promise<T> {
  const onError = (): void => undefined;
  const options = { name: 'mail', migrate: migrateQueue, lockTimeout: 5_000, onError };
  const store = await openStore(parseTarget(connection), options);
  try {
    await store.ready();
    return await look(store);
  } finally {
    await store.close(1_000);
  }
}

/** Every key, field and value of a Redis database, or every row of the queue's schemas, as text. */
export async function everythingIn(connection: string): Promise<string> {
  return lookInto(connection, async (store) => {
    if (store.kind === 'redis') return everyKey(store.client);
    const tables = await store.pool.query(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('bullmq', 'priority_mail')`,
    );
    const texts: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await store.pool.query(`SELECT row::text AS text FROM ${String(name)} row`);
      texts.push(...rows.map(({ text }) => String(text)));
    }
    return texts.join('\n');
  });
}

async function everyKey(client: Redis): Promise<string> {
  const texts: unknown[] = [];
  for (const key of await client.keys('*')) texts.push(key, await valueOf(client, key));
  return JSON.stringify(texts);
}

async function valueOf(client: Redis, key: string): Promise<unknown> {
  const type = await client.type(key);
  switch (type) {
    case 'string':
      return client.get(key);
    case 'hash':
      return client.hgetall(key);
    case 'list':
      return client.lrange(key, 0, -1);
    case 'set':
      return client.smembers(key);
    case 'zset':
      return client.zrange(key, '0', '-1');
    case 'stream':
      return client.xrange(key, '-', '+');
    default:
      throw new Error(`${key} is a ${type}`);
  }
}
