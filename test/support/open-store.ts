import { migrateQueue } from '../../src/queue/backend.js';
import { openStore, type OpenOptions } from '../../src/store/open.js';
import type { DurableStore } from '../../src/store/store.js';
import { parseTarget } from '../../src/store/target.js';

/**
 * Makes the handle of a queue's store as the module does, for tests that look into it or work without an application.
 * Nothing is connected before `ready()`; whoever opens it closes it.
 *
 * @param connection what `queue.connection` would be
 */
export function openQueueStore(connection: unknown, options: Partial<OpenOptions> = {}): Promise<DurableStore> {
  return openStore(parseTarget(connection), {
    name: 'mail',
    migrate: migrateQueue,
    lockTimeout: 0,
    onError: () => undefined,
    ...options,
  });
}
