import { describe } from 'vitest';
import type { AttachmentStore } from '../../src/attachments/attachment-store.js';
import { DiskAttachmentStore } from '../../src/attachments/disk-store.js';
import { MemoryAttachmentStore } from '../../src/attachments/memory-store.js';
import { openS3 } from '../../src/attachments/s3-store.js';
import { startS3 } from '../support/s3.js';
import { temporaryFolder } from '../support/temp.js';

/** An attachment store that tests run on. */
export interface AttachmentStoreUnderTest {
  readonly name: 'disk' | 's3' | 'memory';
  /** Makes an empty one, removed when the test file ends. */
  create(): Promise<AttachmentStore>;
}

const STORES: readonly AttachmentStoreUnderTest[] = [
  { name: 'disk', create: () => Promise.resolve(new DiskAttachmentStore(temporaryFolder('attachments'))) },
  { name: 's3', create: async () => openS3(await startS3()) },
  { name: 'memory', create: () => Promise.resolve(new MemoryAttachmentStore()) },
];

/** Runs the same tests on every attachment store there is. */
export function onEveryAttachmentStore(tests: (store: AttachmentStoreUnderTest) => void): void {
  for (const store of STORES) describe(`on ${store.name}`, () => tests(store));
}
