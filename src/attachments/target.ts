import type { AttachmentStore } from './attachment-store.js';
import type { S3Options } from './s3-options.js';

/** Where attachments lie, checked. */
export type AttachmentTarget =
  | { kind: 'folder'; folder: string }
  | { kind: 's3'; options: S3Options }
  | { kind: 'memory' }
  | { kind: 'own'; store: AttachmentStore };
