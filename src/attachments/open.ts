import type { AttachmentStore } from './attachment-store.js';
import { DiskAttachmentStore } from './disk-store.js';
import { MemoryAttachmentStore } from './memory-store.js';
import { openS3 } from './s3-store.js';
import type { AttachmentTarget } from './target.js';

/** Makes the store's handle; nothing is connected or created before it is used. @throws MailConfigError for a missing peer */
export async function openAttachmentStore(target: AttachmentTarget): Promise<AttachmentStore> {
  switch (target.kind) {
    case 'folder':
      return new DiskAttachmentStore(target.folder);
    case 's3':
      return openS3(target.options);
    case 'memory':
      return new MemoryAttachmentStore();
    case 'own':
      return target.store;
  }
}
