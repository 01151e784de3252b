import { dirname } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { expect, it, vi } from 'vitest';
import { Database } from '../../src/store/pglite/database.js';
import { eventually } from '../support/eventually.js';
import { openQueueStore } from '../support/open-store.js';
import { pgliteFolder } from '../support/pglite.js';

it('opens its database anew when the thread of the one before has died', async () => {
  const folder = dirname(await pgliteFolder());
  const started = vi.spyOn(Database, 'start');
  const store = await openQueueStore(`pglite://${folder}`, { lockTimeout: 5_000 });
  await store.ready();
  await store.records.merge([{ key: 'a', fields: { x: '1' } }]);

  const database = (await started.mock.results[0]!.value) as unknown as { thread: Worker };
  await database.thread.terminate();
  await eventually(async () => expect(await store.records.get(['a'])).toEqual([{ x: '1' }]), { within: 20_000 });
  expect(started).toHaveBeenCalledTimes(2);
  await store.close(1_000);
});
