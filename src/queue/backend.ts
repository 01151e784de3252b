import {
  createPostgresBackend,
  createRedisBackend,
  runMigrations,
  withBackend,
  type FlowJob,
  type FlowProducer,
  type IQueueBackend,
  type Job,
  type Queue,
  type WorkerOptions,
} from 'bullmq';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DurableStore, Migrate, SqlClient, SqlPool } from '../store/store.js';
import type { EventLine } from './event-bus.js';
import { BullEventLine, EVENTS_KEPT } from './event-line.js';

/** BullMQ's own queue. */
export type BullQueue = Queue<unknown, unknown, string>;

/** The part of BullMQ's job that is used here: what was known of it when it was read. */
export type MailJob = Pick<
  Job<unknown, unknown, string>,
  | 'id'
  | 'data'
  | 'timestamp'
  | 'processedOn'
  | 'finishedOn'
  | 'returnvalue'
  | 'attemptsStarted'
  | 'stalledCounter'
  | 'getState'
  | 'extendLock'
  | 'moveToDelayed'
  | 'retry'
>;

/** The part of BullMQ's queue that is used here. */
export interface MailJobQueue extends Pick<
  BullQueue,
  'isPaused' | 'pause' | 'resume' | 'getRanges' | 'getJobCounts' | 'getCountsPerPriority' | 'getDelayedCount' | 'close'
> {
  getJob(id: string): Promise<MailJob | undefined>;
  getJobs(...asked: Parameters<BullQueue['getJobs']>): Promise<MailJob[]>;
  getActive(): Promise<MailJob[]>;
  getBackend(): Pick<IQueueBackend, 'promote' | 'remove' | 'moveJobFromActiveToWait'>;
}

/** The part of BullMQ's worker that is used here. */
export interface MailJobWorker {
  on(event: 'error', listener: (error: Error) => void): unknown;
  /** Works until it is closed. */
  run(): Promise<void>;
  close(): Promise<void>;
}

/** Delivers a batch. What it returns is kept with the job; a `DelayedError` says that it has put the job back itself. */
export type MailJobProcessor = (job: MailJob, token?: string) => Promise<unknown>;

/** What the bulk lane's jobs live in: BullMQ's classes, bound to one store, or what takes their place. */
export interface Backend {
  readonly queue: MailJobQueue;
  readonly flow: { addBulk(jobs: FlowJob[]): Promise<unknown>; close(): Promise<void> };
  /** For `@InjectQueue` and dashboards. */
  readonly bullQueue: BullQueue;
  /** Whether a batch lies with a worker whose lock has run out: BullMQ's check for stalled jobs brings it back. */
  hasStalled(): Promise<boolean>;
  /**
   * Since when the oldest of the waiting batches has been waiting: as it was queued, fell due by its `sendAt`, or was taken up
   * last. Batches lie in the order of their urgency: the oldest is looked for among the first and the last of them. Reads no
   * batch's content.
   */
  oldestWaiting(): Promise<number | undefined>;
  createWorker(processor: MailJobProcessor, options: Omit<WorkerOptions, 'connection'>): MailJobWorker;
  /** Where several processes share the queue. */
  readonly eventLine?: EventLine;
}

/** One on BullMQ. */
interface BullBackend extends Backend {
  readonly queue: BullQueue;
  readonly flow: FlowProducer;
}

/** Waiting batches that are looked at, at either end. */
const ENDS = 20;

const END = (order: string): string => `(
  SELECT added_at_ms, opts, processed_at_ms FROM job WHERE queue = $1 AND state = 'waiting'
  ORDER BY priority ${order}, seq ${order} LIMIT ${ENDS})`;
const OLDEST_WAITING = `SELECT min(greatest(
  added_at_ms + coalesce((opts->>'delay')::bigint, 0), coalesce(processed_at_ms, 0)))::text AS oldest
FROM (${END('ASC')} UNION ALL ${END('DESC')}) AS ends`;

function waitingSince(timestamp: string, options?: string | null, processedOn?: string | null): number {
  const { delay = 0 } = JSON.parse(options ?? '{}') as { delay?: number };
  return Math.max(Number(timestamp) + delay, Number(processedOn ?? 0));
}

/** Brings a delayed batch to a worker now. Most batches are not delayed, which is what BullMQ's error then says. */
export async function promoteBatch(queue: MailJobQueue, id: string): Promise<void> {
  await queue
    .getBackend()
    .promote(id)
    .catch(() => undefined);
}

/** BullMQ's own tables, beside ours. */
export const migrateQueue: Migrate = async (client) => {
  await runMigrations(client as Parameters<typeof runMigrations>[0]);
};

/** The host's queues are untouched: nothing here changes BullMQ's process-wide defaults. */
export function createBackend(name: string, store: DurableStore, onError: (error: Error) => void): BullBackend {
  const parts = store.kind === 'redis' ? onRedis(name, store, onError) : onSql(name, store, onError);
  parts.queue.on('error', onError);
  parts.flow.on('error', onError);
  return parts;
}

function onRedis(
  name: string,
  store: Extract<DurableStore, { kind: 'redis' }>,
  onError: (error: Error) => void,
): BullBackend {
  const classes = withBackend((...args: Parameters<typeof createRedisBackend>) => strict(createRedisBackend(...args)));
  const producer = { connection: store.client, skipWaitingForReady: true, skipVersionCheck: true };
  const queue: BullQueue = new classes.Queue(name, producer);
  // BullMQ does not close a connection that it was given: one worker after the other uses the same.
  let connection: ReturnType<typeof store.connectWorker> | undefined;
  const connect = (): NonNullable<typeof connection> => (connection ??= store.connectWorker());
  return {
    queue,
    bullQueue: queue,
    flow: new classes.FlowProducer(producer),
    async hasStalled() {
      const active = await queue.getBackend().getRanges(['active']);
      const locks = active.flat().map((id) => `${queue.toKey(id)}:lock`);
      return locks.length > 0 && (await store.client.exists(...locks)) < locks.length;
    },
    async oldestWaiting() {
      const ends = await Promise.all(
        [true, false].map((first) => queue.getBackend().getRanges(['wait', 'prioritized'], 0, ENDS - 1, first)),
      );
      const pipeline = store.client.pipeline();
      for (const id of new Set(ends.flat(2))) pipeline.hmget(queue.toKey(id), 'timestamp', 'opts', 'processedOn');
      const jobs = ((await pipeline.exec()) ?? []).map(([, fields]) => fields as (string | null)[] | undefined);
      const times = jobs.flatMap((fields) => (fields?.[0] ? [waitingSince(fields[0], fields[1], fields[2])] : []));
      return times.length > 0 ? Math.min(...times) : undefined;
    },
    createWorker: (processor, options) => new classes.Worker(name, processor, { ...options, connection: connect() }),
    eventLine: new BullEventLine(
      () => new classes.QueueEventsProducer(name, producer),
      async () => {
        // BullMQ's own '$' would pass over what is published between two reads, as long as nothing has come.
        const [last] = await store.client.xrevrange(queue.toKey('events'), '+', '-', 'COUNT', 1);
        const lastEventId = last?.[0] ?? '0-0';
        return new classes.QueueEvents(name, { connection: connect(), autorun: false, lastEventId });
      },
      onError,
    ),
  };
}

function onSql(
  name: string,
  store: Extract<DurableStore, { kind: 'postgres' | 'embedded' }>,
  onError: (error: Error) => void,
): BullBackend {
  const classes = withBackend((...args: Parameters<typeof createPostgresBackend>) =>
    passive(strict(createPostgresBackend(...args)), store.opened),
  );
  const connection = patient(store) as unknown as Parameters<typeof createPostgresBackend>[1]['connection'];
  // Only the queue's own bound is heeded here, and not what a publication says.
  const options = { connection, streams: { events: { maxLen: EVENTS_KEPT } } };
  const queue = new classes.Queue(name, options) as unknown as BullQueue;
  const eventLine = new BullEventLine(
    () => new classes.QueueEventsProducer(name, { connection }),
    () => Promise.resolve(new classes.QueueEvents(name, { connection, autorun: false })),
    onError,
  );
  return {
    queue,
    bullQueue: queue,
    flow: new classes.FlowProducer({ connection }) as unknown as FlowProducer,
    async hasStalled() {
      const sql = `SELECT 1 FROM job WHERE queue = $1 AND state = 'active' AND locked_until_ms < $2 LIMIT 1`;
      return (await store.pool.query(sql, [name, Date.now()])).rows.length > 0;
    },
    async oldestWaiting() {
      const { rows } = await store.pool.query(OLDEST_WAITING, [name]);
      const { oldest } = rows[0] as { oldest: string | null };
      return oldest === null ? undefined : Number(oldest);
    },
    createWorker: (processor, options) =>
      new classes.Worker(name, processor, {
        ...(options as object),
        connection,
      }),
    ...(store.kind === 'embedded' ? {} : { eventLine }),
  };
}

/** `FlowProducer.addBulk` passes over the errors of single entries: a failed flush would look like a good one. */
function strict<B extends IQueueBackend>(backend: B): B {
  const addFlow = backend.addFlow.bind(backend);
  backend.addFlow = async (entries) => {
    const results = await addFlow(entries);
    const failed = results.find(([error]) => error !== null);
    if (failed) throw failed[0]!;
    return results;
  };
  return backend;
}

/** A queue asks for its backend when it is made; that alone must not create an embedded store's folder. */
function passive<B extends IQueueBackend>(backend: B, opened: Promise<void>): B {
  const waitUntilReady = backend.waitUntilReady.bind(backend);
  backend.waitUntilReady = () => opened.then(waitUntilReady);
  return backend;
}

const CONNECT_EVERY = 1_000;

/**
 * A queue whose first connection fails stays broken for good. Here the first connection waits until the database can be
 * reached; our own calls have asked `store.ready()` before and were told at once.
 */
function patient(store: Extract<DurableStore, { kind: 'postgres' | 'embedded' }>): SqlPool {
  const { pool } = store;
  const connect = async (): Promise<SqlClient> => {
    for (;;) {
      try {
        await store.ready();
        return await pool.connect();
      } catch (error) {
        if (store.closed) throw error;
        await sleep(CONNECT_EVERY, undefined, { ref: false });
      }
    }
  };
  const proxy: SqlPool = new Proxy(pool, {
    get(target, name) {
      if (name === 'connect') return connect;
      // BullMQ listens to the pool's errors, as the store does, and never ceases to: each worker would leave a listener.
      if (name === 'on') return () => proxy;
      // pg's pool queries through its own `connect`, so its methods are to see the pool and not this.
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return proxy;
}
