import type { TraceContext } from '../events/tracer.js';
import { domainOf, type Address } from '../message/address.js';
import {
  envelopeRecipients,
  ownParts,
  type AcceptedAttachment,
  type Attachment,
  type Content,
  type Message,
  type OwnParts,
  type Rendering,
  type Source,
  type Travel,
} from '../message/message.js';
import type { UnsubscribeSettings } from '../message/unsubscribe.js';
import { compileText, type MergeData } from '../mime/merge.js';
import type { Letter } from '../mime/plate.js';
import type { BatchUrgency } from './urgency.js';

/** Raised when a worker of an older release could not read what a newer producer wrote. */
export const BATCH_VERSION = 2;

/**
 * Of batches whose messages are rendered where they are sent, or whose bodies are condensed: a worker that does not know of that
 * would send them empty, or as they must not be.
 */
export const RENDERED_VERSION = 4;

/** An attachment whose bytes lie in the attachment store, under the name of their blob. */
export type StoredAttachment = Omit<Attachment, 'content'> & { blob: string; bytes: number };

/** A message that is to be queued. Its attachments are at hand, still to be read, or in the store already. */
export type Queueable = Omit<Message, 'attachments'> &
  Travel & { attachments: readonly (AcceptedAttachment | StoredAttachment)[] };

/** What the messages of a batch share, stored once. */
export type SharedContent = Omit<Content, 'attachments' | 'subject' | 'text' | 'html'> & {
  cc: Address[];
  bcc: Address[];
  attachments: StoredAttachment[];
  subject?: string;
  text?: string;
  html?: string;
  /** What all messages are rendered from; with this, nothing is merged. */
  source?: Source;
  /** What is rendered with where a message and its group say nothing else. */
  context?: unknown;
  locale?: string;
  ownSender?: true;
  /** The mailing list that its campaign is for. */
  list?: string;
  /** Each message gets a link of its own when it is written. */
  unsubscribe?: UnsubscribeSettings;
};

/** One message of a batch: a recipient of a campaign, or what a single `send()` does not share with its neighbours. */
export interface BatchItem extends OwnParts {
  /** An address without a name stands for itself: most recipients of most campaigns are that. */
  to: Address[] | string;
  /** For the merge fields, or to render with. */
  context?: unknown;
  locale?: string;
  group?: string;
  key?: string;
  /** The span in which it was sent, of a single `send()`. */
  trace?: TraceContext;
}

/** What the queue needs of a batch, and the store can always read. */
export interface BatchHead {
  v: 1 | typeof BATCH_VERSION | typeof RENDERED_VERSION;
  id: string;
  createdAt: number;
  urgency: BatchUrgency;
  campaign?: { id: string; number: number };
  /** Set for campaigns that are not rendered: merge fields are filled in, and what a missing one becomes. */
  merge?: 'error' | 'empty';
  sendAt?: number;
  expiresAt?: number;
  /** The span in which its campaign was sent. A worker that does not know of it loses nothing else. */
  trace?: TraceContext;
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

/** What a batch needs of the attachment store. @param payload where its content is, if that is outside its job */
export function blobsOf({ shared }: Batch, payload?: string): string[] {
  const blobs = shared.attachments.map(({ blob }) => blob);
  return payload === undefined ? blobs : [...blobs, payload];
}

export function versionFor({ source }: SharedContent): BatchHead['v'] {
  return source ? RENDERED_VERSION : BATCH_VERSION;
}

/** What a message that is to be rendered stores with those it shares its batch with. */
export function sharedRendering({ source, ownSender }: Rendering): Pick<SharedContent, 'source' | 'ownSender'> {
  return { source, ...(ownSender ? { ownSender } : {}) };
}

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

/** What one message of it says itself. */
export function letterOf(batch: Batch, index: number): Letter {
  const item = batch.items[index]!;
  return {
    to: itemTo(item),
    ...ownParts(item),
    ...(batch.merge === undefined ? {} : { data: mergeData(batch, index) }),
  };
}

/** What the merge fields of one message are filled in from. */
function mergeData({ items, groups }: Batch, index: number): MergeData {
  const item = items[index]!;
  const { context = {}, group } = item;
  const recipient = itemTo(item)[0]!.address;
  return { context: context as Fields, group: (group !== undefined && groups?.[group]) || {}, recipient };
}

/** What one message is rendered from: its own values go before its group's, and those before what all share. */
export function renderingOf({ shared, items, groups }: Batch, index: number): Rendering | undefined {
  const { source, ownSender } = shared;
  if (!source) return undefined;
  const { context: own, group, locale = shared.locale } = items[index]!;
  const context = [shared.context, group === undefined ? undefined : groups?.[group], own].reduce(merged);
  return {
    source,
    ...(context === undefined ? {} : { context }),
    ...(locale === undefined ? {} : { locale }),
    ...(ownSender ? { ownSender } : {}),
  };
}

function merged(under: unknown, over: unknown): unknown {
  if (over === undefined) return under;
  return isFields(under) && isFields(over) ? { ...under, ...over } : over;
}

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Those in the To header of one message. */
export function itemTo({ to }: BatchItem): Address[] {
  return typeof to === 'string' ? [{ name: '', address: to }] : to;
}

/**
 * The sender's address of one message, whose merge fields are filled in. Where they cannot be, the message is never sent, and
 * the address is as it was written, or empty where not even its domain is certain.
 */
export function senderOf(batch: Batch, index: number): string {
  const { address } = batch.shared.from;
  if (batch.merge === undefined || !address.includes('{{')) return address;
  try {
    return compileText(address, 'header', 'empty')(mergeData(batch, index));
  } catch {
    return /[{}]/.test(domainOf(address)) ? '' : address;
  }
}

/** The envelope recipients of one message of the batch. */
export function itemRecipients(batch: Batch, item: BatchItem): string[] {
  const { cc, bcc } = batch.shared;
  if (typeof item.to === 'string' && cc.length + bcc.length === 0) return [item.to];
  return envelopeRecipients({ to: itemTo(item), cc, bcc });
}
