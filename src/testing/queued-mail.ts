import { LedgerView } from '../delivery/ledger.js';
import type { Lane, Message, Source } from '../message/message.js';
import { MergeError } from '../mime/merge.js';
import { Press } from '../mime/press.js';
import { itemRecipients, letterOf, type Batch } from '../queue/batch.js';
import type { BatchFormat } from '../queue/batch-format.js';
import { readRecord } from '../queue/campaign-record.js';
import { keys } from '../queue/keys.js';
import { isPending, statusOf, type MailState } from '../queue/status.js';
import { readFacts } from '../queue/store-ledger.js';
import type { MemoryBackend } from './memory-backend.js';
import type { MemoryRecords } from './memory-records.js';
import type { Memory } from './memory-store.js';
import { linksIn, type OutgoingMail, type TestAttachment } from './outgoing-mail.js';

/** A message that waits in the queue. */
export class QueuedMail implements OutgoingMail {
  readonly status = 'queued';
  readonly lane: Lane = 'bulk';
  private readonly content: Message;

  constructor(
    private readonly batch: Batch,
    private readonly index: number,
    readonly id: string,
    readonly state: MailState,
  ) {
    this.content = contentOf(batch, index);
  }

  get campaignId(): string | undefined {
    return this.batch.campaign?.id;
  }

  /** When it is to leave, where the application said so. */
  get sendAt(): Date | undefined {
    return this.batch.sendAt === undefined ? undefined : new Date(this.batch.sendAt);
  }

  get to(): readonly string[] {
    return itemRecipients(this.batch, this.batch.items[this.index]!);
  }

  get from(): string {
    const { name, address } = this.content.from;
    return name === '' ? address : `${name} <${address}>`;
  }

  /** Empty while a mail class or a template is to give it. */
  get subject(): string {
    return this.content.subject;
  }

  get text(): string | undefined {
    return this.content.text;
  }

  get html(): string | undefined {
    return this.content.html;
  }

  get headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const [given, value] of this.content.headers) {
      const name = given.toLowerCase();
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
    }
    return headers;
  }

  get attachments(): readonly TestAttachment[] {
    return this.batch.shared.attachments.map(({ filename, contentType, cid }) => ({
      ...(filename === undefined ? {} : { filename }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(cid === undefined ? {} : { cid }),
    }));
  }

  get source(): Source | undefined {
    return this.batch.shared.source;
  }

  links(): string[] {
    return linksIn(this);
  }
}

/** What the bulk lane of an application under test stands on. */
export interface MemoryLane {
  store: Memory;
  backend: MemoryBackend;
  format: BatchFormat;
}

/** The messages that wait: those that could go now, in their order, and then those that are to go later. */
export function queuedMails({ store, backend, format }: MemoryLane): QueuedMail[] {
  return backend.jobs.in('active', 'wait', 'prioritized', 'delayed').flatMap(({ data }) => {
    const read = format.readHere(data);
    return 'batch' in read ? mailsOf(read.batch, store.records) : [];
  });
}

function mailsOf(batch: Batch, records: MemoryRecords): QueuedMail[] {
  const view = new LedgerView(readFacts(records.peek(keys.ledger(batch.id))));
  const marks = records.peek(keys.marks(batch.id));
  const campaign = batch.campaign && records.peek(keys.campaign(batch.campaign.id));
  const cancelled = campaign !== undefined && readRecord(campaign).cancelled;
  const scheduled = batch.sendAt !== undefined && batch.sendAt > Date.now();
  return batch.items.flatMap((_, index) => {
    const given = cancelled || marks?.[index] !== undefined ? 'cancelled' : scheduled ? 'scheduled' : 'queued';
    const { id, state } = statusOf(batch, index, view, given);
    return isPending(state) ? [new QueuedMail(batch, index, id, state)] : [];
  });
}

/** What it will say, with its merge fields filled in as far as they can be. */
function contentOf(batch: Batch, index: number): Message {
  const { cc, bcc, attachments: _, ...shared } = batch.shared;
  const content = { ...shared, subject: shared.subject ?? '', attachments: [] };
  const options = { cc, bcc, date: new Date(batch.createdAt) };
  const letter = letterOf(batch, index);
  try {
    return new Press(content, { ...options, ...(batch.merge ? { merge: batch.merge } : {}) }).message(letter);
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return new Press(content, options).message(letter);
  }
}
