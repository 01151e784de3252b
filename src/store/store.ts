import type { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import type { Records } from './records.js';

/** Where the queue lives. */
export type Store = DurableStore | MemoryStore;

/** One that outlives the process. */
export type DurableStore = RedisStore | SqlStore;

interface StoreBase {
  readonly records: Records;
  /**
   * Resolves when the store can be used, opening or creating it on the first call. Rejects at once, with the reason, while
   * it cannot be reached; a later call tries again.
   */
  ready(): Promise<void>;
  /** Whether it is there already, so that opening it at boot creates nothing. */
  exists(): Promise<boolean>;
  /** Resolves when `ready()` has succeeded for the first time. Never rejects. */
  readonly opened: Promise<void>;
  readonly closed: boolean;
  /** @param within milliseconds that what is under way may still take */
  close(within: number): Promise<void>;
}

export interface RedisStore extends StoreBase {
  readonly kind: 'redis';
  /** For short commands: rejects at once while Redis is away. */
  readonly client: Redis;
  /** A connection for a worker, which waits for Redis to come back instead. The caller closes it. */
  connectWorker(): Redis;
}

export interface SqlStore extends StoreBase {
  readonly kind: 'postgres' | 'embedded';
  readonly pool: SqlPool;
}

/** Nothing but records, and those in this process's memory: for tests. */
export interface MemoryStore extends StoreBase {
  readonly kind: 'memory';
}

export interface SqlResult {
  rows: Record<string, unknown>[];
  rowCount?: number | null;
}

export interface SqlQueryable {
  query(text: string, params?: readonly unknown[]): Promise<SqlResult>;
}

/** The part of `pg.PoolClient` that is used here. */
export interface SqlClient extends SqlQueryable, Pick<EventEmitter, 'on' | 'removeListener' | 'removeAllListeners'> {
  release(destroy?: boolean): void;
}

/** The part of `pg.Pool` that is used here. */
export interface SqlPool extends SqlQueryable, Pick<EventEmitter, 'on' | 'removeListener' | 'removeAllListeners'> {
  connect(): Promise<SqlClient>;
  end(): Promise<void>;
}

/** Prepares a SQL store on one session before anything else uses it: the queue's tables. */
export type Migrate = (client: SqlQueryable) => Promise<void>;

/** The schema of BullMQ's tables, which its statements expect in the search path. */
export const QUEUE_SCHEMA = 'bullmq';
