import { resolve } from 'node:path';
import type { Redis, RedisOptions } from 'ioredis';
import type { Pool } from 'pg';
import { MailConfigError } from '../errors.js';

/** What `queue.connection` may be: a URL, an ioredis or `pg.Pool` instance, or ioredis options. */
export type StoreConnection = string | Redis | Pool | RedisOptions;

/** The same, told apart. */
export type StoreTarget =
  | { kind: 'redis'; url: string }
  | { kind: 'redis'; client: Redis }
  | { kind: 'redis'; options: RedisOptions }
  | { kind: 'postgres'; url: string }
  | { kind: 'postgres'; pool: Pool }
  | { kind: 'embedded'; folder: string }
  | { kind: 'embedded'; memory: true };

/** Nothing to install, nothing to run: a folder of the application's, one for each of several mailers. */
export function defaultConnection(queueName: string): string {
  return `pglite://./.${queueName.replace(/^mail/, 'mail-queue')}`;
}

const REMEDY =
  'Use redis://host:6379, rediss://…, postgres://user@host/db, pglite://./folder, pglite://memory, an ioredis or a pg.Pool instance.';

/** @throws MailConfigError */
export function parseTarget(connection: StoreConnection): StoreTarget {
  if (typeof connection === 'string') return parseUrl(connection);
  if (typeof connection === 'object' && connection !== null) {
    if ('duplicate' in connection && typeof connection.duplicate === 'function') {
      return { kind: 'redis', client: connection };
    }
    if ('connect' in connection && 'query' in connection) return { kind: 'postgres', pool: connection };
    if ('host' in connection || 'port' in connection || 'path' in connection || 'sentinels' in connection) {
      return { kind: 'redis', options: connection };
    }
  }
  throw new MailConfigError(`queue.connection is ${describe(connection)}, which is no store. ${REMEDY}`);
}

function parseUrl(url: string): StoreTarget {
  const scheme = /^([a-z]+):\/\//.exec(url)?.[1];
  if (scheme === 'redis' || scheme === 'rediss') return { kind: 'redis', url: checked(url) };
  if (scheme === 'postgres' || scheme === 'postgresql') return { kind: 'postgres', url: checked(url) };
  if (scheme === 'pglite') {
    const path = url.slice('pglite://'.length);
    if (path === 'memory') return { kind: 'embedded', memory: true };
    if (path !== '') return { kind: 'embedded', folder: resolve(path) };
  }
  throw new MailConfigError(`queue.connection is ${describe(url)}, which is no store. ${REMEDY}`);
}

function checked(url: string): string {
  if (URL.canParse(url)) return url;
  throw new MailConfigError(`queue.connection is ${describe(url)}, which is not a URL. ${REMEDY}`);
}

/** A URL without its credentials, or a type. */
function describe(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : `of type ${typeof value}`;
  return JSON.stringify(value.replace(/\/\/[^@/]*@/, '//***@').slice(0, 200));
}
