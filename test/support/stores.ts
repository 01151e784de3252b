import { dirname } from 'node:path';
import { describe } from 'vitest';
import { createDatabase } from './postgres.js';
import { pgliteFolder } from './pglite.js';
import { startRedis } from './redis.js';

/** A store that tests run on. */
export interface StoreUnderTest {
  readonly name: 'redis' | 'postgres' | 'embedded';
  /** Makes an empty one, removed when the test file ends, and returns its `queue.connection`. */
  create(): Promise<string>;
}

export const STORES: readonly StoreUnderTest[] = [
  { name: 'redis', create: async () => (await startRedis()).url },
  { name: 'postgres', create: async () => (await createDatabase()).url },
  { name: 'embedded', create: async () => `pglite://${dirname(await pgliteFolder())}` },
];

/** Runs the same tests on every store there is. */
export function onEveryStore(tests: (store: StoreUnderTest) => void): void {
  for (const store of STORES) describe(`on ${store.name}`, () => tests(store));
}
