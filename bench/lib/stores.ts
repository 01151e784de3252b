import { join } from 'node:path';
import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import { PostgresCluster } from '../../test/support/postgres-cluster.js';
import { type RedisServer, startRedis } from '../../test/support/redis.js';
import { temporaryFolder } from '../../test/support/temp.js';
import { type SenderName, storeOf } from './senders/sender.js';

const DATABASES = 1_000;
let redis: Promise<RedisServer> | undefined;
let databases = 0;

/** A store of its own for a sender; undefined for one without a queue. */
export async function storeFor(name: SenderName): Promise<string | undefined> {
  switch (storeOf(name)) {
    case undefined:
      return undefined;
    case 'redis':
      return `${await redisUrl()}/${databases++ % DATABASES}`;
    case 'postgres': {
      const cluster = await PostgresCluster.create({ fsync: 'on', full_page_writes: 'on' });
      await cluster.start();
      return cluster.url;
    }
    case 'embedded':
      return `pglite://${join(temporaryFolder('bench'), 'queue')}`;
  }
}

/** Of the one server whose databases {@link storeFor} gives. */
export async function redisUrl(): Promise<string> {
  redis ??= startRedis({ args: ['--databases', `${DATABASES}`] });
  return (await redis).url;
}

export function hasPostgres(): boolean {
  return findProgram(servers.postgres) !== undefined;
}
