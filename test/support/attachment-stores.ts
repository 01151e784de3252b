import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { AttachmentStore } from '../../src/attachments/attachment-store.js';
import { DiskAttachmentStore } from '../../src/attachments/disk-store.js';
import type { QueueConfig } from '../../src/nest/options/types.js';
import { IN_MEMORY } from './stores.js';
import { temporaryFolder } from './temp.js';

const folders = new Map<unknown, string>();

/** `attachments.store` for a queue that does not bring one: the same for all applications of a test that share the queue. */
export function storeBeside(queue: QueueConfig | false | undefined): { store?: string } {
  const connection = queue ? queue.connection : undefined;
  if (connection === undefined || connection === IN_MEMORY) return {};
  if (typeof connection === 'string' && connection.startsWith('pglite:')) return {};
  return { store: attachmentFolder(connection) };
}

/** `attachments.store` beside this `queue.connection`. */
export function attachmentFolder(connection: unknown): string {
  const known = folders.get(connection);
  if (known !== undefined) return known;
  const store = pathToFileURL(join(temporaryFolder('attachments'), 'store')).href;
  folders.set(connection, store);
  return store;
}

/** The store beside this `queue.connection`, for tests that look into it. */
export function attachmentsOf(connection: unknown): AttachmentStore {
  return new DiskAttachmentStore(fileURLToPath(attachmentFolder(connection)));
}

/** The names of the blobs in a store. */
export async function blobsIn(store: AttachmentStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list()) if (!name.startsWith('marker-')) names.push(name);
  return names.sort();
}
