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

/** The store of `MailFake`, which `startMail` knows by this in place of a `queue.connection`. */
export const IN_MEMORY = 'memory:';

type MemoryUnderTest = Omit<StoreUnderTest, 'name'> & { readonly name: 'memory' };

/** Runs the same tests on every store there is, and on the one in memory, which must do all that the bulk lane asks for. */
export function onEveryQueue(tests: (store: StoreUnderTest | MemoryUnderTest) => void): void {
  onEveryStore(tests);
  describe('in memory', () => tests({ name: 'memory', create: () => Promise.resolve(IN_MEMORY) }));
}
