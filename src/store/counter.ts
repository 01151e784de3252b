import { RateLimiterPostgres, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Store } from './store.js';

/** Counts events of all processes on one store. */
export interface Counter {
  /** Counts one: 0 when there was room, else the milliseconds until there may be. Rejects when the store is away. */
  take(): Promise<number>;
}

/**
 * On Redis no span of the given length ever holds more than `points`. The library's own script counts in windows, of which
 * two may be filled back to back; this one keeps the time of each.
 */
const SLIDING = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local max, per = tonumber(ARGV[3]), math.ceil(ARGV[4] * 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - per)
local count = redis.call('ZCARD', KEYS[1])
if count < max then
  redis.call('ZADD', KEYS[1], now, time[1] .. ':' .. time[2] .. ':' .. count)
  redis.call('PEXPIRE', KEYS[1], per)
  return {count + 1, per}
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {max + 1, math.max(1, oldest[2] + per - now)}`;

/**
 * At most `points` in `per` milliseconds, over all processes on this store: exactly on Redis; on PostgreSQL in windows of
 * that length. Undefined on a store that one process has to itself.
 *
 * @param key tells counters of several mailers on one store apart
 */
export function openCounter(store: Store, key: string, points: number, per: number): Counter | undefined {
  if (store.kind === 'embedded' || store.kind === 'memory') return undefined;
  const settings = { keyPrefix: 'priority-mail:rate', points, duration: per / 1_000 };
  const limiter =
    store.kind === 'redis'
      ? new RateLimiterRedis({ ...settings, storeClient: store.client, customIncrTtlLuaScript: SLIDING })
      : new RateLimiterPostgres({
          ...settings,
          storeClient: store.pool,
          storeType: 'pool',
          schemaName: 'priority_mail',
          tableName: 'rate',
          // Made with the records, before anything else uses the store.
          tableCreated: true,
        });
  return {
    async take(): Promise<number> {
      await store.ready();
      try {
        // The library's Redis limiter knows whole seconds only, and asks its script from one second on.
        await limiter.consume(key, 1, store.kind === 'redis' ? { customDuration: Math.ceil(per / 1_000) } : {});
        return 0;
      } catch (error) {
        if (error instanceof RateLimiterRes) return Math.max(1, error.msBeforeNext);
        throw error;
      }
    },
  };
}
