import type { BatchWork, Written } from '../delivery/batch.js';
import type { Address } from '../message/address.js';
import { messageId, messageIdHeader } from '../message/ids.js';
import { envelopeRecipients, ownParts, type Attachment, type Content, type OwnParts } from '../message/message.js';
import { compileText, type MergeData } from '../mime/merge.js';
import type { Letter } from '../mime/plate.js';
import { Press } from '../mime/press.js';
import type { Dispatch } from '../transport/dispatch.js';
import type { BatchUrgency } from './urgency.js';

/** Raised when a worker of an older release could not read what a newer producer wrote. */
export const BATCH_VERSION = 2;

/** An attachment whose bytes lie in the store under their hash. */
export type StoredAttachment = Omit<Attachment, 'content'> & { blob: string };

/** What the messages of a batch share, stored once. */
export type SharedContent = Omit<Content, 'attachments' | 'subject' | 'text' | 'html'> & {
  cc: Address[];
  bcc: Address[];
  attachments: StoredAttachment[];
  subject?: string;
  text?: string;
  html?: string;
};

/** One message of a batch: a recipient of a campaign, or what a single `send()` does not share with its neighbours. */
export interface BatchItem extends OwnParts {
  /** An address without a name stands for itself: most recipients of most campaigns are that. */
  to: Address[] | string;
  context?: Record<string, unknown>;
  group?: string;
  key?: string;
}

/** What the queue needs of a batch, and the store can always read. */
export interface BatchHead {
  v: 1 | typeof BATCH_VERSION;
  id: string;
  createdAt: number;
  urgency: BatchUrgency;
  campaign?: { id: string; number: number };
  /** Set for campaigns: merge fields are filled in, and what a missing one becomes. */
  merge?: 'error' | 'empty';
  sendAt?: number;
  expiresAt?: number;
}

/** What a batch says, to whom, and which way. */
export interface BatchContent {
  shared: SharedContent;
  groups?: Record<string, Record<string, unknown>>;
  items: BatchItem[];
  transport?: string;
}

/** One BullMQ job: messages that share their meta. */
export type Batch = BatchHead & BatchContent;

/** A batch that is not sealed, or why it cannot be delivered. Nothing is delivered of one that is not understood as a whole. */
export function readBatch(data: unknown): { batch: Batch } | { problem: string } {
  if (typeof data !== 'object' || data === null) return { problem: 'The batch is malformed: it is not an object' };
  const { v, id, shared, items } = data as Partial<Batch>;
  if (typeof v !== 'number') return { problem: 'The batch is malformed: it has no format version' };
  if (typeof id !== 'string' || !Array.isArray(items))
    return { problem: 'The batch is malformed: id or items is missing' };
  if (items.length === 0) return { problem: 'The batch is empty' };
  const missing = missingInShared(shared);
  if (missing) return { problem: `The batch is malformed: its shared part has no ${missing}` };
  const bad = items.findIndex((item) => !hasRecipients(item));
  if (bad >= 0) return { problem: `The batch is malformed: item ${bad} has no recipients` };
  return { batch: data as Batch };
}

function hasRecipients(item: Partial<BatchItem> | null | undefined): boolean {
  const to = item?.to;
  return typeof to === 'string' ? to !== '' : Array.isArray(to) && to.length > 0 && to.every(isAddress);
}

function missingInShared(shared: Partial<SharedContent> | null | undefined): string | undefined {
  if (typeof shared !== 'object' || shared === null || !isAddress(shared.from)) return 'sender';
  return (['replyTo', 'cc', 'bcc', 'headers', 'attachments'] as const).find((list) => !Array.isArray(shared[list]));
}

function isAddress(value: unknown): value is Address {
  if (typeof value !== 'object' || value === null) return false;
  const { name, address } = value as Partial<Address>;
  return typeof name === 'string' && typeof address === 'string';
}

/** What a batch needs beside itself. */
export interface Supplies {
  /** The attachments' bytes by their hash. */
  blobs: ReadonlyMap<string, Buffer>;
  dispatch: Dispatch;
  /** Why nothing can be sent for now. */
  blocked?: string;
}

/** The batch as the delivery step takes it. */
export function workOf(batch: Batch, { blobs, dispatch, blocked }: Supplies): BatchWork {
  const recipients = batch.items.map((item) => itemRecipients(batch, item));
  const { cc, bcc, ...shared } = batch.shared;
  const attachments = shared.attachments.map(({ blob, ...rest }) => ({ ...rest, content: blobs.get(blob)! }));
  const content: Content = { ...shared, subject: shared.subject ?? '', attachments };
  const date = new Date(batch.sendAt ?? batch.createdAt);
  let press: Press | undefined;
  const made = (): Press =>
    new Press(content, { cc, bcc, date, ...(batch.merge === undefined ? {} : { merge: batch.merge }) });
  return {
    id: batch.id,
    size: batch.items.length,
    recipients: (index) => recipients[index]!,
    write(index): Written | Promise<Written> {
      press ??= made();
      const letter = letterOf(batch, index);
      const sender = press.sender(letter).address;
      const encoded = press.encode(letter, messageIdHeader(messageId(batch.id, index), sender));
      if (encoded instanceof Promise) return encoded.then((bytes) => ({ sender, ...bytes }));
      return { sender, ...encoded };
    },
    dispatch,
    ...(blocked === undefined ? {} : { blocked }),
    ...(batch.expiresAt === undefined ? {} : { expiresAt: batch.expiresAt }),
  };
}

/** What one message of it says itself. */
export function letterOf(batch: Batch, index: number): Letter {
  const item = batch.items[index]!;
  return {
    to: itemTo(item),
    ...ownParts(item),
    ...(batch.merge === undefined ? {} : { data: mergeData(batch, index) }),
  };
}

function mergeData({ items, groups }: Batch, index: number): MergeData {
  const item = items[index]!;
  const { context = {}, group } = item;
  const recipient = itemTo(item)[0]!.address;
  return { context, group: (group !== undefined && groups?.[group]) || {}, recipient };
}

/** Those in the To header of one message. */
export function itemTo({ to }: BatchItem): Address[] {
  return typeof to === 'string' ? [{ name: '', address: to }] : to;
}

/** The sender's address of one message, which may hold merge fields. */
export function senderOf(batch: Batch, index: number): string {
  const { address } = batch.shared.from;
  if (batch.merge === undefined || !address.includes('{{')) return address;
  return compileText(address, 'header', 'empty')(mergeData(batch, index));
}

/** The envelope recipients of one message of the batch. */
export function itemRecipients(batch: Batch, item: BatchItem): string[] {
  const { cc, bcc } = batch.shared;
  if (typeof item.to === 'string' && cc.length + bcc.length === 0) return [item.to];
  return envelopeRecipients({ to: itemTo(item), cc, bcc });
}
