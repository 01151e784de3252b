import { MailQueueUnavailableError } from '../errors.js';
import { messageId, messageIdHeader, newId } from '../message/ids.js';
import { envelopeRecipients, ownParts, type Message, type Travel } from '../message/message.js';
import { sharedRendering, versionFor, type Batch, type BatchItem, type StoredAttachment } from './batch.js';
import type { Told } from './batch-events.js';
import type { Blobs } from './blobs.js';
import type { Flusher } from './flush.js';
import { GroupCommit } from './group-commit.js';
import type { BatchLimits } from './packer.js';
import type { BatchUrgency } from './urgency.js';

/** The message is durably in the queue. It has not been sent yet. */
export interface QueuedReceipt {
  status: 'queued';
  id: string;
  messageId: string;
  lane: 'bulk';
}

/** A message's own id. */
export interface OwnId {
  id: string;
  /** A batch of that id that was finished before is another mail's, and goes. Default false: it is this one. */
  fresh?: boolean;
}

/** How a message that has an id of its own is queued. */
export interface OwnBatch extends OwnId {
  urgency?: BatchUrgency;
}

interface Pending {
  message: Message & Travel;
  own?: OwnBatch;
  attachments: StoredAttachment[];
  bytes: number;
  receipt?: QueuedReceipt;
}

const MAX_FLUSH_BYTES = 4 * 1024 * 1024;

/** Queues single messages. Those that are sent while a flush is under way share the next one. */
export class Producer {
  private readonly commit: GroupCommit<Pending>;

  constructor(
    private readonly flusher: Flusher,
    private readonly blobs: Blobs,
    private readonly limits: BatchLimits,
    private readonly events: Told,
  ) {
    this.commit = new GroupCommit(
      (group) => this.write(group),
      ({ bytes }) => bytes,
      MAX_FLUSH_BYTES,
    );
  }

  /**
   * @param own for a message that has an id of its own and travels in a batch of its own; the same id again is the same batch
   * @throws MailQueueUnavailableError
   */
  async send(message: Message & Travel, own?: OwnBatch): Promise<QueuedReceipt> {
    if (message.attachments.length > 0) await this.flusher.reach();
    const pending: Pending = {
      message,
      ...(own ? { own } : {}),
      attachments: await this.blobs.put(message.attachments, message.sendAt),
      bytes: bytesOf(message),
    };
    await this.commit.add(pending);
    return pending.receipt!;
  }

  /** Resolves when everything accepted so far has been written or refused. */
  async idle(): Promise<void> {
    await this.commit.idle();
  }

  private async write(group: readonly Pending[]): Promise<void> {
    const batches = groupByMeta(group, this.limits);
    try {
      await this.flusher.flush(batches);
    } catch (error) {
      if (!(error instanceof MailQueueUnavailableError)) throw error;
      const ids = group.flatMap(({ receipt }) => (receipt ? [receipt.id] : []));
      throw new MailQueueUnavailableError(error.message, { cause: error.cause, outcome: error.outcome, ids });
    }
    if (this.events.wants('queued')) for (const pending of group) this.tell(pending);
  }

  private tell({ message, own, receipt }: Pending): void {
    const { id, messageId, lane } = receipt!;
    const { rendering, sendAt, laneBy = 'message' } = message;
    this.events.emit('queued', {
      id,
      messageId,
      lane,
      recipients: envelopeRecipients(message),
      laneBy: own?.urgency === 'overflow' ? 'overflow' : laneBy,
      ...(rendering ? { source: rendering.source } : {}),
      ...(sendAt === undefined ? {} : { sendAt: new Date(sendAt) }),
    });
  }
}

/** One batch for messages with the same meta, in the order of their arrival. */
function groupByMeta(group: readonly Pending[], { size, maxBytes }: BatchLimits): Batch[] {
  const open = new Map<string, { batch: Batch; bytes: number }>();
  const batches: Batch[] = [];
  for (const pending of group) {
    const meta = metaOf(pending);
    const key = pending.own?.id ?? JSON.stringify(meta);
    let last = open.get(key);
    if (!last || last.batch.items.length >= size || last.bytes + pending.bytes > maxBytes) {
      const batch: Batch = {
        v: versionFor(meta.shared),
        id: pending.own?.id ?? newId('m'),
        createdAt: Date.now(),
        ...meta,
        items: [],
      };
      last = { batch, bytes: key.length };
      open.set(key, last);
      batches.push(batch);
    }
    last.bytes += pending.bytes;
    const { batch } = last;
    const { message } = pending;
    const id = messageId(batch.id, batch.items.push(itemOf(message)) - 1);
    pending.receipt = { status: 'queued', id, messageId: messageIdHeader(id, message.from.address), lane: 'bulk' };
  }
  return batches;
}

function metaOf({
  message,
  attachments,
  own,
}: Pending): Pick<Batch, 'shared' | 'transport' | 'sendAt' | 'expiresAt' | 'urgency'> {
  const { from, replyTo, headers, cc, bcc, transport, sendAt, expiresAt, urgency = 'normal', rendering } = message;
  return {
    urgency: own?.urgency ?? urgency,
    shared: { from, replyTo, headers, cc, bcc, attachments, ...(rendering ? sharedRendering(rendering) : {}) },
    ...(transport === undefined ? {} : { transport }),
    ...(sendAt === undefined ? {} : { sendAt }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function itemOf({ to, rendering, ...message }: Message): BatchItem {
  if (!rendering) return { to, ...ownParts(message) };
  const { subject, text, html } = message;
  const { context, locale } = rendering;
  return {
    to,
    ...ownParts({ text, html, ...(subject === '' ? {} : { subject }) }),
    ...(context === undefined ? {} : { context }),
    ...(locale === undefined ? {} : { locale }),
  };
}

/** About what it takes in a batch, and certainly not less. */
function bytesOf({ text = '', html = '', rendering }: Message): number {
  const context = rendering?.context === undefined ? 0 : JSON.stringify(rendering.context).length;
  return 500 + 2 * (text.length + html.length + context);
}
