import { randomBytes } from 'node:crypto';
import type MimeNode from 'nodemailer/lib/mime-node';
import type { Address } from '../message/address.js';
import type { Content, Message } from '../message/message.js';
import { compose, composer, type Stamp } from './compose.js';
import type { Encoded } from './encoded.js';
import { addressHeader, textHeader } from './header-line.js';
import {
  compileAddress,
  compileContent,
  compileParts,
  parseTemplate,
  valueFor,
  type Field,
  type MergeData,
  type MissingFields,
  type Part,
  type Place,
} from './merge.js';
import { quote, QuotedWriter, type Quoted } from './quoted-printable.js';
import { flatten, foldBase64 } from './serialise.js';

/** What differs between messages that are otherwise one. */
export interface Letter {
  to: Address[];
  /** Instead of the shared one. */
  subject?: string;
  text?: string;
  html?: string;
  /** For the merge fields. */
  data?: MergeData;
}

export interface PressOptions {
  cc: Address[];
  bcc: Address[];
  /** Merge fields are filled in, and what becomes of one without a value. Default: `{{` is text like any other. */
  merge?: MissingFields;
  /** The Date header. */
  date: Date;
}

/** A header line of its own for each letter; empty for none. */
type HeaderSlot = (letter: Letter, messageId: string, name: string) => string;
/** Writes a part of the body; false when it is empty, which would be another kind of message. */
type BodySlot = { write: (letter: Letter, writer: QuotedWriter) => boolean };
type Encoding = 'quoted-printable' | 'base64';
type BodyField = 'text' | 'html';

/** A message with places left open, for letters of one shape. */
interface Plate {
  headers: (string | { name: string; slot: HeaderSlot })[];
  body: (string | BodySlot)[];
  /** The body of all letters, where nothing is open in it. */
  shared?: Buffer;
}

const BODIES: readonly BodyField[] = ['text', 'html'];
const NO_DATA: MergeData = { context: {}, group: {} };
const writer = new QuotedWriter();

/**
 * Messages that share their content, compiled once: what is the same is encoded once, and what differs is encoded for each
 * letter and put between. A reader finds the message that nodemailer's composer makes of the same input.
 */
export class Press {
  private readonly fill: (data: MergeData) => Content;
  private readonly fillSender: ((data: MergeData) => Address) | undefined;
  private readonly plates = new Map<string, Plate | undefined>();

  constructor(
    private readonly content: Content,
    private readonly options: PressOptions,
  ) {
    const { merge } = options;
    this.fill = merge === undefined ? () => content : compileContent(content, merge);
    const { name, address } = content.from;
    const open = merge !== undefined && (name.includes('{{') || address.includes('{{'));
    this.fillSender = open ? compileAddress(content.from, merge) : undefined;
  }

  /** @throws MergeError */
  sender({ data = NO_DATA }: Letter): Address {
    return this.fillSender?.(data) ?? this.content.from;
  }

  /** The message as nodemailer's composer takes it. @throws MergeError */
  message({ to, subject, text, html, data = NO_DATA }: Letter): Message {
    return {
      ...this.fill(data),
      ...(subject === undefined ? {} : { subject }),
      ...(text === undefined ? {} : { text }),
      ...(html === undefined ? {} : { html }),
      to,
      cc: this.options.cc,
      bcc: this.options.bcc,
    };
  }

  /** Its bytes. @throws MergeError */
  encode(letter: Letter, messageId: string): Encoded | Promise<Encoded> {
    return this.print(letter, messageId) ?? compose(this.message(letter), { messageId, date: this.options.date });
  }

  /** Its bytes, if it can be compiled: neither a part that is empty nor an attachment that is no file. @throws MergeError */
  print(letter: Letter, messageId: string): Encoded | undefined {
    const plate = this.plateFor(letter);
    if (!plate) return undefined;
    let headers = '';
    for (const line of plate.headers) {
      if (typeof line === 'string') headers += line;
      else {
        const own = line.slot(letter, messageId, line.name);
        if (own !== '') headers += `${own}\r\n`;
      }
    }
    const body = plate.shared ?? writeBody(plate.body, letter);
    return body && { headers: Buffer.from(`${headers}\r\n`), body };
  }

  private plateFor(letter: Letter): Plate | undefined {
    // Without that part it is another kind of message.
    if (BODIES.some((field) => letter[field] === '')) return undefined;
    const encodings = BODIES.map((field) => (letter[field] === undefined ? undefined : encodingOf(letter[field])));
    const shape = [...encodings, letter.subject === undefined].join();
    if (this.plates.has(shape)) return this.plates.get(shape);
    const plate = this.engrave(letter, { text: encodings[0], html: encodings[1] });
    this.plates.set(shape, plate);
    return plate;
  }

  /** @param own the parts that each letter brings itself, and how they are encoded */
  private engrave(letter: Letter, own: Partial<Record<BodyField, Encoding | undefined>>): Plate | undefined {
    const { content, options } = this;
    const mark = `npm${randomBytes(12).toString('hex')}`;
    const headerSlots = new Map<string, HeaderSlot>();
    const openHeader = (slot: HeaderSlot): string => {
      const token = `${mark}h${headerSlots.size}x`;
      headerSlots.set(token, slot);
      return token;
    };
    const bodySlots = new Map<string, { slot: BodySlot; encoding: Encoding }>();
    const openBody = (slot: BodySlot, encoding: Encoding): string => {
      const token = `${mark}b${bodySlots.size}x`;
      bodySlots.set(token, { slot, encoding });
      return token;
    };
    const addressOf = (token: string): Address => ({ name: '', address: `${token}@open.invalid` });

    const probe: Message = { ...content, to: [], cc: options.cc, bcc: [] };
    probe.to = [addressOf(openHeader(({ to }, _, name) => addressHeader(name, to)))];
    if (this.fillSender) {
      probe.from = addressOf(openHeader((each, _, name) => addressHeader(name, [this.sender(each)])));
    }
    const { merge } = options;
    if (merge !== undefined && content.replyTo.some(hasField)) {
      const fills = content.replyTo.map((address) => compileAddress(address, merge));
      const fill = ({ data = NO_DATA }: Letter): Address[] => fills.map((one) => one(data));
      probe.replyTo = [addressOf(openHeader((each, _, name) => addressHeader(name, fill(each))))];
    }
    const template = (text: string, place: Place): Part[] =>
      merge === undefined ? [text] : parseTemplate(text, place);
    const openText = (text: string): string => {
      const parts = template(text, 'header');
      if (parts.every((part) => typeof part === 'string')) return parts.join('');
      const fill = compileParts(parts, 'header', merge!);
      return openHeader(({ data = NO_DATA }, _, name) => textHeader(name, fill(data)));
    };
    probe.subject =
      letter.subject === undefined
        ? openText(content.subject)
        : openHeader(({ subject = '' }, _, name) => textHeader(name, subject));
    probe.headers = content.headers.map(([name, value]) => [name, openText(value)]);
    for (const field of BODIES) {
      const encoding = own[field];
      const text = content[field];
      if (encoding) {
        probe[field] = openBody(wholeSlot(field, encoding), encoding);
        continue;
      }
      if (text === undefined) continue;
      const parts = template(text, field);
      if (parts.every((part) => typeof part === 'string')) probe[field] = parts.join('');
      else {
        const fixed = parts.filter((part) => typeof part === 'string').join('');
        const chosen = encodingOf(fixed);
        probe[field] = openBody(mergeSlot(parts, field, merge!, chosen), chosen);
      }
    }
    const stamp: Stamp = {
      messageId: `<${openHeader((_, id, name) => `${name}: ${id}`)}@open.invalid>`,
      date: options.date,
    };
    // No encoded text can contain "=_" (RFC 2045 §6.7), so no letter can contain its boundaries.
    const root = composer(probe, stamp, { boundaryPrefix: '=_' }).compile();
    const flat = flatten(root, (leaf) => openLeaf(leaf, bodySlots));
    if (!flat) return undefined;
    const body = joined(flat.body);
    const [only = ''] = body;
    return {
      headers: openLines(flat.headers, mark, headerSlots),
      body,
      ...(body.length <= 1 && typeof only === 'string' ? { shared: Buffer.from(ended(only)) } : {}),
    };
  }
}

function openLeaf(
  leaf: MimeNode,
  slots: ReadonlyMap<string, { slot: BodySlot; encoding: Encoding }>,
): BodySlot | undefined {
  const open = typeof leaf.content === 'string' ? slots.get(leaf.content) : undefined;
  if (open) leaf.setHeader('Content-Transfer-Encoding', open.encoding);
  return open?.slot;
}

/** The header block's fields, those of the letter's own left open. */
function openLines(block: string, mark: string, slots: ReadonlyMap<string, HeaderSlot>): Plate['headers'] {
  const lines = block.split(/\r\n(?![ \t])/).map((line) => {
    const at = line.indexOf(mark);
    if (at < 0) return `${line}\r\n`;
    const slot = slots.get(line.slice(at, line.indexOf('x', at + mark.length) + 1))!;
    return { name: line.slice(0, line.indexOf(':')), slot };
  });
  return joined(lines);
}

/** Neighbouring strings as one. */
function joined<T>(parts: readonly (string | T)[]): (string | T)[] {
  const result: (string | T)[] = [];
  for (const part of parts) {
    const last = result.length - 1;
    if (typeof part === 'string' && typeof result[last] === 'string') result[last] += part;
    else if (part !== '') result.push(part);
  }
  return result;
}

function writeBody(parts: readonly (string | BodySlot)[], letter: Letter): Buffer | undefined {
  writer.reset();
  for (const part of parts) {
    if (typeof part === 'string') {
      writer.raw(part);
      continue;
    }
    writer.begin();
    if (!part.write(letter, writer)) return undefined;
  }
  writer.end();
  return writer.copy();
}

/** A part that each letter brings as a whole. */
function wholeSlot(field: BodyField, encoding: Encoding): BodySlot {
  return {
    write(letter, out) {
      const text = letter[field]!;
      if (encoding === 'quoted-printable') out.text(text);
      else out.raw(foldBase64(Buffer.from(text.replace(/\r\n?|\n/g, '\r\n'))));
      return text !== '';
    },
  };
}

/** A part that is the same but for its merge fields. */
function mergeSlot(parts: readonly Part[], place: BodyField, missing: MissingFields, encoding: Encoding): BodySlot {
  if (encoding === 'base64') {
    const fill = compileParts(parts, place, missing);
    return {
      write({ data = NO_DATA }, out) {
        const text = fill(data);
        out.raw(foldBase64(Buffer.from(text.replace(/\n/g, '\r\n'))));
        return text !== '';
      },
    };
  }
  const pieces = parts.map((part): Quoted | Field => (typeof part === 'string' ? quote(part) : part));
  return {
    write({ data = NO_DATA }, out) {
      const before = out.size;
      for (const piece of pieces) {
        if ('bytes' in piece) out.put(piece);
        else out.text(valueFor(piece, data, place, missing));
      }
      return out.size > before;
    },
  };
}

function hasField({ name, address }: Address): boolean {
  return name.includes('{{') || address.includes('{{');
}

function ended(body: string): string {
  return body === '' || body.endsWith('\n') ? body : `${body}\r\n`;
}

/** Quoted-printable keeps what is mostly ASCII readable and short; base64 is shorter for most other scripts. */
function encodingOf(text: string): Encoding {
  return Buffer.byteLength(text) > 1.6 * text.length ? 'base64' : 'quoted-printable';
}
