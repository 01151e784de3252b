import { Redis } from 'ioredis';
import { atEnd } from './cleanup.js';
import type { RedisServer } from './redis.js';

/** Taken by whoever fills a database, so that test files running at the same time get different ones. */
const claim = 'nestjs-priority-mail-test';

/** Takes an empty database of the server named by REDIS_URL, and empties it again when the test file ends. */
export async function borrowRedis(): Promise<RedisServer> {
  const shared = process.env.REDIS_URL;
  if (!shared) throw new Error('Tests need redis-server on this machine, or REDIS_URL');

  const databases = 16;
  for (let database = databases - 1; database >= 0; database--) {
    const url = new URL(shared);
    url.pathname = `/${database}`;
    const client = new Redis(url.href);
    if ((await client.dbsize()) === 0 && (await client.set(claim, process.pid, 'NX'))) {
      const release = async () => {
        if (client.status === 'end') return;
        await client.flushdb();
        await client.quit();
      };
      atEnd(release);
      return { url: url.href, port: Number(url.port || 6379), stop: release, kill: refuse, restart: refuse };
    }
    client.disconnect();
  }
  throw new Error(`None of the ${databases} databases of REDIS_URL is empty`);
}

async function refuse(): Promise<never> {
  throw new Error('This test kills Redis, so it needs redis-server on this machine: REDIS_URL is not enough');
}
