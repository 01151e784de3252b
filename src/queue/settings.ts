import type { AttachmentTarget } from '../attachments/target.js';
import type { RetryPolicy } from '../delivery/retry.js';
import type { ReturnPaths } from '../feedback/return-path.js';
import type { SuppressionSettings } from '../feedback/suppression.js';
import type { Limits } from '../message/limits.js';
import type { Sealer } from '../store/sealing.js';
import type { StoreTarget } from '../store/target.js';
import type { FeedbackSettings } from './feedback/intake.js';
import type { BatchLimits } from './packer.js';
import type { Keep } from './retention.js';

/** The bulk lane's settings, checked. Times are milliseconds. */
export interface MailQueueSettings {
  /** The BullMQ queue: `mail`, or `mail-<name>`. */
  name: string;
  target: StoreTarget;
  batch: BatchLimits & { maxDuration: number };
  /** Without `autorun` it works only while `runUntil()` does. */
  worker: { autorun: boolean; batches: number; lockDuration: number };
  retry: RetryPolicy;
  /** How long a campaign's batch waits for transports that have room, before the campaign is suspended. */
  waitForCapacity: number;
  keep: Keep;
  limits: Limits;
  suppression: SuppressionSettings;
  /** Of what is stored of messages. */
  sealer: Sealer;
  attachments: AttachmentSettings;
  feedback: FeedbackSettings;
  /** What mails' envelope senders are, and bounces are told by. Undefined: the address in From. */
  returnPaths?: ReturnPaths;
  /** How long another process may take to let go of an embedded store. */
  lockTimeout: number;
}

/** Where attachments of queued mail lie. */
export interface AttachmentSettings {
  /** Undefined where it has to be named, and is not. */
  target: AttachmentTarget | undefined;
  /** How long one stays after its last need, in milliseconds. */
  expireAfter: number;
  /** The id of a queue whose store was lost, and whose place this one takes. */
  adopt?: string;
}
