import type { Lane } from '../../message/message.js';

/** A mail of ours that something is reported of. */
export interface KnownMail {
  id: string;
  lane: Lane;
  campaignId?: string;
  /** Of the campaign. */
  list?: string;
  messageId?: string;
  /** The envelope recipients. Undefined where they were not asked for, or it is past retention. */
  recipients?: readonly string[];
}
