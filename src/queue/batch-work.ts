import type { BatchWork, Written } from '../delivery/work.js';
import type { Preparation } from '../delivery/preparation.js';
import type { UnsubscribeLink } from '../feedback/unsubscribe-links.js';
import { messageId, messageIdHeader } from '../message/ids.js';
import { listId } from '../message/list-id.js';
import { envelopeRecipients, ownParts, type Content, type Message, type Rendering } from '../message/message.js';
import { encodedAttachment } from '../mime/base64.js';
import { compose, type Stamp } from '../mime/compose.js';
import { BODIES } from '../mime/engrave.js';
import type { Encoded } from '../mime/encoded.js';
import type { Letter } from '../mime/plate.js';
import { Press } from '../mime/press.js';
import type { Dispatch } from '../transport/dispatch.js';
import type { OutgoingMail } from '../transport/transport.js';
import { itemRecipients, letterOf, renderingOf, type Batch } from './batch.js';

/** What a batch needs beside itself. */
export interface Supplies {
  /** What attachments are in messages, base64 in lines, by the names of their blobs. */
  blobs: ReadonlyMap<string, Buffer>;
  dispatch: Dispatch;
  preparation: Preparation;
  /** Why nothing can be sent for now. */
  blocked?: string;
}

/** The batch as the delivery step takes it. */
export function workOf(batch: Batch, { blobs, dispatch, preparation, blocked }: Supplies): BatchWork {
  const recipients = batch.items.map((item) => itemRecipients(batch, item));
  let writer: BatchWriter | undefined;
  return {
    id: batch.id,
    size: batch.items.length,
    recipients: (index) => recipients[index]!,
    write: (index) => (writer ??= new BatchWriter(batch, blobs, preparation)).write(index),
    dispatch,
    ...(blocked === undefined ? {} : { blocked }),
    ...(batch.expiresAt === undefined ? {} : { expiresAt: batch.expiresAt }),
  };
}

/** Makes a batch's messages, each when its turn has come. */
class BatchWriter {
  private readonly press: Press;
  /** The same at every try. */
  private readonly date: Date;
  private readonly hasListId: boolean;

  constructor(
    private readonly batch: Batch,
    blobs: Supplies['blobs'],
    private readonly preparation: Preparation,
  ) {
    const { shared, merge, sendAt, createdAt } = batch;
    const { cc, bcc, from, replyTo, headers, subject = '', text, html } = shared;
    const attachments = shared.attachments.map(({ blob, bytes: _, ...about }) =>
      encodedAttachment(about, blobs.get(blob)!),
    );
    const content: Content = { from, replyTo, headers, subject, attachments, ...ownParts({ text, html }) };
    this.date = new Date(sendAt ?? createdAt);
    this.hasListId = headers.some(([name]) => name.toLowerCase() === 'list-id');
    this.press = new Press(content, { cc, bcc, date: this.date, ...(merge === undefined ? {} : { merge }) });
  }

  write(index: number): Written | Promise<Written> {
    const letter = letterOf(this.batch, index);
    const sender = this.press.sender(letter).address;
    const stamp = { messageId: messageIdHeader(messageId(this.batch.id, index), sender), date: this.date };
    const link = this.linkFor(letter, index);
    const headers = this.headersFor(sender, link);
    if (headers.length > 0) letter.headers = headers;
    if (link && letter.data) letter.data.reserved = { unsubscribeUrl: link.url };
    const rendering = renderingOf(this.batch, index);
    if (link && rendering) rendering.unsubscribeUrl = link.url;
    if (this.preparation.changes({ rendering })) return this.prepare(index, letter, stamp, rendering);
    const encoded = this.press.encode(letter, stamp.messageId);
    const mail = this.mail(index, stamp, () => this.press.message(letter));
    if (encoded instanceof Promise) return encoded.then((bytes) => ({ sender, mail, ...bytes }));
    return { sender, mail, ...encoded };
  }

  private linkFor({ to }: Letter, index: number): UnsubscribeLink | undefined {
    const { id, shared } = this.batch;
    const { unsubscribe, list, cc, bcc } = shared;
    const { links } = this.preparation;
    const [address] = envelopeRecipients({ to, cc, bcc });
    if (!unsubscribe || !links || address === undefined) return undefined;
    const about = { address, id: messageId(id, index), date: this.date.getTime() };
    return links.of(unsubscribe, list === undefined ? about : { ...about, list });
  }

  /** What the campaign's list and the recipient's link add to those that the campaign was given. */
  private headersFor(sender: string, link: UnsubscribeLink | undefined): [name: string, value: string][] {
    const { list } = this.batch.shared;
    const headers = link?.headers ?? [];
    return list === undefined || this.hasListId ? headers : [...headers, ['List-Id', listId(list, sender)]];
  }

  private mail(index: number, { messageId: header }: Stamp, message: () => Message): OutgoingMail {
    const { campaign, id } = this.batch;
    const about = { id: messageId(id, index), messageId: header, message };
    return campaign ? { ...about, campaignId: campaign.id } : about;
  }

  private async prepare(
    index: number,
    letter: Letter,
    stamp: Stamp,
    rendering: Rendering | undefined,
  ): Promise<Written> {
    const { campaign, id } = this.batch;
    const message: Message = { ...this.press.message(letter), ...(rendering ? { rendering } : {}) };
    const prepared = await this.preparation.prepare({
      id: messageId(id, index),
      messageId: stamp.messageId,
      lane: 'bulk',
      message,
      ...(campaign ? { campaignId: campaign.id } : {}),
    });
    const sender = prepared.from.address;
    const encoded = await this.encode(letter, message, prepared, stamp);
    const recipients = envelopeRecipients(prepared);
    const mail = this.mail(index, stamp, () => prepared);
    if (isSame(recipients, envelopeRecipients(message))) return { sender, mail, ...encoded };
    return { sender, mail, ...encoded, recipients };
  }

  /** What all messages share is encoded once; whatever else one of them has makes it a message by itself. */
  private encode(letter: Letter, message: Message, prepared: Message, stamp: Stamp): Encoded | Promise<Encoded> {
    if (prepared === message) return this.press.encode(letter, stamp.messageId);
    const isUsual =
      this.batch.merge === undefined &&
      SHARED.every((field) => prepared[field] === message[field]) &&
      BODIES.every((field) => message[field] === undefined || prepared[field] !== undefined);
    if (!isUsual) return compose(prepared, stamp);
    const { headers } = letter;
    return this.press.encode({ to: prepared.to, ...ownParts(prepared), ...(headers && { headers }) }, stamp.messageId);
  }
}

const SHARED = ['from', 'replyTo', 'headers', 'attachments', 'cc', 'bcc'] as const satisfies (keyof Message)[];

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((one, index) => one === others[index]);
}
