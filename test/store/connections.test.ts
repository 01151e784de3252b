import { Redis } from 'ioredis';
import pg from 'pg';
import { expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { parseTarget } from '../../src/store/target.js';
import { openQueueStore } from '../support/open-store.js';
import { createDatabase } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';

it('takes an ioredis instance and leaves it as it is', async () => {
  const { url } = await startRedis();
  const own = new Redis(url, { keyPrefix: 'app:' });
  const store = await openQueueStore(own);
  await store.ready();
  await store.records.merge([{ key: 'a', fields: { x: '1' } }]);
  await store.close(1_000);
  expect(await own.ping()).toBe('PONG');
  expect(own.options.keyPrefix).toBe('app:');
  own.disconnect();
});

it('takes ioredis options, as BullModule.forRoot has them', async () => {
  const { port } = await startRedis();
  const store = await openQueueStore({ host: '127.0.0.1', port });
  await store.ready();
  expect(await store.records.get(['a'])).toEqual([undefined]);
  await store.close(1_000);
});

it('takes a pg.Pool, makes one of its own from it, password included, and leaves it as it is', async () => {
  const { url } = await createDatabase();
  const { hostname, port, pathname, username } = new URL(url);
  const own = new pg.Pool({
    host: hostname,
    port: Number(port),
    database: pathname.slice(1),
    user: decodeURIComponent(username),
    password: 's3cret',
  });
  const store = await openQueueStore(own);
  await store.ready();
  if (store.kind !== 'postgres') throw new Error(store.kind);
  expect(store.pool).not.toBe(own);
  expect((store.pool as unknown as { options: { password: string } }).options.password).toBe('s3cret');
  await store.records.merge([{ key: 'a', fields: { x: '1' } }]);
  await store.close(1_000);
  expect((await own.query('SHOW search_path')).rows).toEqual([{ search_path: '"$user", public' }]);
  await own.end();
});

it.each([
  ['mysql://user:s3cret@host/db', /mysql:\/\/\*\*\*@host/],
  ['redis://', /redis/],
  ['pglite://', /pglite/],
  [5, /of type number/],
  [null, /null/],
  [{}, /of type object/],
])('refuses %j with the remedy and without credentials', (connection, named) => {
  const refusal = (): unknown => parseTarget(connection);
  expect(refusal).toThrow(MailConfigError);
  expect(refusal).toThrow(/redis:\/\/host.*pg\.Pool/);
  try {
    refusal();
  } catch (error) {
    expect((error as Error).message).toMatch(named);
    expect((error as Error).message).not.toContain('s3cret');
  }
});
