import type { Address } from '../message/address.js';
import { ownParts, type Content, type Message, type OwnParts } from '../message/message.js';
import { compose } from './compose.js';
import type { Encoded } from './encoded.js';
import { BODIES, encodingOf, engrave, type PressOptions } from './engrave.js';
import { compileAddress, compileContent, NO_DATA, type MergeData } from './merge.js';
import type { Letter, Plate } from './plate.js';

/**
 * Messages that share their content, compiled once: what is the same is encoded once, and what differs is encoded for each
 * letter and put between. A reader finds the message that nodemailer's composer makes of the same input.
 */
export class Press {
  private readonly fill: (data: MergeData, own: OwnParts) => Content;
  private readonly fillSender: ((data: MergeData) => Address) | undefined;
  private readonly plates = new Map<string, Plate | undefined>();

  constructor(
    private readonly content: Content,
    private readonly options: PressOptions,
  ) {
    const { merge } = options;
    this.fill = merge === undefined ? (_, own) => ({ ...content, ...ownParts(own) }) : compileContent(content, merge);
    const { name, address } = content.from;
    const open = merge !== undefined && (name.includes('{{') || address.includes('{{'));
    this.fillSender = open ? compileAddress(content.from, merge) : undefined;
  }

  /** @throws MergeError */
  sender({ data = NO_DATA }: Letter): Address {
    return this.fillSender?.(data) ?? this.content.from;
  }

  /** The message as nodemailer's composer takes it. @throws MergeError */
  message(letter: Letter): Message {
    const { cc, bcc } = this.options;
    const message = { ...this.fill(letter.data ?? NO_DATA, letter), to: letter.to, cc, bcc };
    return letter.headers ? { ...message, headers: [...message.headers, ...letter.headers] } : message;
  }

  /** Its bytes. @throws MergeError */
  encode(letter: Letter, messageId: string): Encoded | Promise<Encoded> {
    return this.print(letter, messageId) ?? compose(this.message(letter), { messageId, date: this.options.date });
  }

  /** Its bytes, if it can be compiled: neither a part that is empty nor an attachment that is no file. @throws MergeError */
  print(letter: Letter, messageId: string): Encoded | undefined {
    return this.plateFor(letter)?.print(letter, messageId);
  }

  private plateFor(letter: Letter): Plate | undefined {
    // Without that part it is another kind of message.
    if (BODIES.some((field) => letter[field] === '')) return undefined;
    const encodings = BODIES.map((field) => (letter[field] === undefined ? undefined : encodingOf(letter[field])));
    const headers = letter.headers?.map(([name]) => name) ?? [];
    const shape = [...encodings, letter.subject === undefined, ...headers].join();
    if (this.plates.has(shape)) return this.plates.get(shape);
    const own = { subject: letter.subject !== undefined, text: encodings[0], html: encodings[1], headers };
    const sender = this.fillSender && ((each: Letter): Address => this.sender(each));
    const plate = engrave(this.content, this.options, own, sender);
    this.plates.set(shape, plate);
    return plate;
  }
}
