import { resolve } from 'node:path';
import { MailConfigError, withoutCredentials } from '../errors.js';

// Shapes instead of the packages' own types, which only those have who use that store.

/** An ioredis instance. The queue makes connections of its own from it. */
export interface RedisInstance {
  readonly status: string;
  readonly options: object;
  duplicate(override?: object): unknown;
}

/** A `pg.Pool`. The queue makes a pool of its own from its options. */
export interface PostgresPool {
  readonly options: object;
  readonly totalCount: number;
  connect(): Promise<unknown>;
}

/** ioredis options, as `BullModule.forRoot` takes them. */
export interface RedisConnectionOptions {
  url?: string;
  host?: string;
  port?: number;
  path?: string;
  sentinels?: object[];
  [option: string]: unknown;
}

/** What `queue.connection` may be: a URL, an ioredis or `pg.Pool` instance, or ioredis options. */
export type StoreConnection = string | RedisInstance | PostgresPool | RedisConnectionOptions;

/** The same, told apart. */
export type StoreTarget =
  | { kind: 'redis'; url: string }
  | { kind: 'redis'; client: RedisInstance }
  | { kind: 'redis'; options: RedisConnectionOptions }
  | { kind: 'postgres'; url: string }
  | { kind: 'postgres'; pool: PostgresPool }
  | { kind: 'embedded'; folder: string }
  | { kind: 'embedded'; memory: true };

/** Nothing to install, nothing to run: a folder of the application's, one for each of several mailers. */
export function defaultConnection(queueName: string): string {
  return `pglite://./.${queueName.replace(/^mail/, 'mail-queue')}`;
}

const REMEDY =
  'Use redis://host:6379, rediss://…, postgres://user@host/db, pglite://./folder, pglite://memory, an ioredis or a pg.Pool instance.';

/** @throws MailConfigError */
export function parseTarget(connection: unknown): StoreTarget {
  if (typeof connection === 'string') return parseUrl(connection);
  if (isCluster(connection)) {
    throw new MailConfigError(`queue.connection is a Redis Cluster, which the mail queue does not run on. ${REMEDY}`);
  }
  if (isRedis(connection)) return { kind: 'redis', client: connection };
  if (isPostgres(connection)) return { kind: 'postgres', pool: connection };
  if (isRedisOptions(connection)) return { kind: 'redis', options: connection };
  throw new MailConfigError(`queue.connection is ${describe(connection)}, which is no store. ${REMEDY}`);
}

function isRedis(value: unknown): value is RedisInstance {
  return typeof value === 'object' && value !== null && 'duplicate' in value && 'status' in value;
}

function isCluster(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'isCluster' in value && value.isCluster === true;
}

function isPostgres(value: unknown): value is PostgresPool {
  return typeof value === 'object' && value !== null && 'totalCount' in value && 'connect' in value;
}

function isRedisOptions(value: unknown): value is RedisConnectionOptions {
  const named = ['url', 'host', 'port', 'path', 'sentinels'];
  return typeof value === 'object' && value !== null && named.some((name) => name in value);
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
  if (URL.canParse(url) && (new URL(url).host !== '' || url.startsWith('postgres'))) return url;
  throw new MailConfigError(`queue.connection is ${describe(url)}, which names no host. ${REMEDY}`);
}

/** A URL without its credentials, or a type. */
function describe(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : `of type ${typeof value}`;
  return JSON.stringify(withoutCredentials(value).slice(0, 200));
}
