import type { Redis } from 'ioredis';

/** What to say about a Redis that removes keys when its memory runs out; undefined when it does not, or will not tell. */
export async function evictionWarning(client: Redis): Promise<string | undefined> {
  const policy = await maxmemoryPolicy(client);
  if (policy === undefined || policy === 'noeviction') return undefined;
  return (
    `The mail queue's Redis has maxmemory-policy ${policy}: when its memory runs out it removes keys, and queued mail ` +
    'is lost with them. Set maxmemory-policy noeviction, so that it refuses new mail instead.'
  );
}

/** Managed services forbid CONFIG, and some INFO as well. */
async function maxmemoryPolicy(client: Redis): Promise<string | undefined> {
  try {
    const reply: unknown = await client.config('GET', 'maxmemory-policy');
    if (Array.isArray(reply) && typeof reply[1] === 'string') return reply[1];
  } catch {
    // Asked otherwise.
  }
  const info = await client.info('memory').catch(() => '');
  return /^maxmemory_policy:([\w-]+)/m.exec(info)?.[1];
}
