import type { Redis, RedisOptions } from 'ioredis';
import { evictionWarning } from './eviction.js';
import { loadPeer } from '../peer.js';
import { RedisRecords } from './redis-records.js';
import type { RedisStore } from './store.js';
import type { StoreTarget } from './target.js';

/** How long a first connection may take before callers are told that Redis is away. */
const CONNECT_TIMEOUT = 5_000;

/** @param prefix of this mailer's record keys */
export async function openRedis(
  target: Extract<StoreTarget, { kind: 'redis' }>,
  prefix: string,
  onError: (error: Error) => void,
  onWarning: (warning: string) => void,
): Promise<RedisStore> {
  const client = await connect(target, {
    // Callers are told at once that Redis is away, instead of being queued in memory and lost with the process.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: CONNECT_TIMEOUT,
    lazyConnect: true,
    // BullMQ has a prefix of its own and refuses a connection with one.
    keyPrefix: '',
  });
  let lastError: Error | undefined;
  client.on('error', (error: Error) => {
    lastError = error;
    onError(error);
  });
  client.on('ready', () => (lastError = undefined));
  const opened = new Promise<void>((resolve) => client.once('ready', resolve));
  void opened.then(() => evictionWarning(client)).then((warning) => warning !== undefined && onWarning(warning));
  const workers = new Set<Redis>();
  let connecting: Promise<void> | undefined;
  let closed = false;

  /** BullMQ duplicates a worker's connection for its blocking call, and leaves that one to its own devices. */
  function track(worker: Redis): Redis {
    workers.add(worker);
    worker.on('error', onError);
    worker.on('connecting', () => workers.add(worker));
    worker.on('end', () => workers.delete(worker));
    const duplicate = worker.duplicate.bind(worker);
    worker.duplicate = (override) => track(duplicate(override));
    keepPolicyQuiet(worker);
    return worker;
  }

  async function settle(): Promise<void> {
    if (closed) throw new Error("The mail queue's store is closed");
    if (client.status === 'wait') void client.connect().catch(() => undefined);
    // It is being tried again, and callers do not wait for how that ends.
    else if (lastError || client.status === 'reconnecting' || client.status === 'close') throw away(lastError);
    // Many wait for one and the same.
    connecting ??= settled(client).finally(() => (connecting = undefined));
    await connecting;
    if (client.status !== 'ready') throw away(lastError);
  }

  return {
    kind: 'redis',
    client,
    records: new RedisRecords(client, prefix),
    exists: () => Promise.resolve(true),
    async ready(): Promise<void> {
      if (closed || client.status !== 'ready') await settle();
    },
    opened,
    get closed() {
      return closed;
    },
    connectWorker(): Redis {
      // null, or a job's completion is lost after a long outage. Not lazy, or BullMQ gives up for good when Redis is away
      // at the first attempt.
      const worker = client.duplicate({ enableOfflineQueue: true, maxRetriesPerRequest: null, lazyConnect: false });
      return track(worker);
    },
    close(): Promise<void> {
      closed = true;
      for (const connection of [client, ...workers]) connection.disconnect();
      return Promise.resolve();
    },
  };
}

/** BullMQ looks at the policy in each worker's INFO and writes to the console, where our logger has told it already. */
function keepPolicyQuiet(worker: Redis): void {
  const info = worker.info.bind(worker) as (...args: unknown[]) => Promise<string>;
  const quiet = (...args: unknown[]): Promise<string> => {
    const answer = info(...args);
    // ioredis itself asks with a callback, and takes no promise.
    return args.length > 0 ? answer : answer.then((text) => text.replace(/^maxmemory_policy:.*$/m, ''));
  };
  worker.info = quiet;
}

async function connect(target: Extract<StoreTarget, { kind: 'redis' }>, overrides: RedisOptions): Promise<Redis> {
  // The caller's own connection is left as it is: its settings are not right for a queue.
  if ('client' in target) return target.client.duplicate(overrides) as Redis;
  const { Redis } = await loadPeer('ioredis', () => import('ioredis'), 'A queue on Redis');
  if ('url' in target) return new Redis(target.url, overrides);
  // BullMQ takes a URL among its options, ioredis before them.
  const { url, ...options } = target.options;
  return url === undefined ? new Redis({ ...options, ...overrides }) : new Redis(url, { ...options, ...overrides });
}

/** Resolves when the connection under way has become ready or failed. */
function settled(client: Redis): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const event of ['ready', 'close', 'end'] as const) client.removeListener(event, done);
      resolve();
    };
    const timer = setTimeout(done, CONNECT_TIMEOUT);
    for (const event of ['ready', 'close', 'end'] as const) client.once(event, done);
  });
}

function away(cause: Error | undefined): Error {
  return cause ?? new Error('Redis is not connected');
}
