import { Redis } from 'ioredis';

/** Bytes that a Redis has in use. */
export async function usedMemory(url: string): Promise<number> {
  const client = new Redis(url);
  try {
    return Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
  } finally {
    client.disconnect();
  }
}
