import { randomBytes } from 'node:crypto';
import type MimeNode from 'nodemailer/lib/mime-node';
import type { Address } from '../message/address.js';
import type { Content, Message } from '../message/message.js';
import { composer, type Stamp } from './compose.js';
import { addressHeader, textHeader } from './header-line.js';
import {
  compileAddress,
  compileParts,
  NO_DATA,
  parseTemplate,
  valueFor,
  type Field,
  type MissingFields,
  type Part,
  type Place,
} from './merge.js';
import { Plate, type BodySlot, type HeaderSlot, type Letter } from './plate.js';
import { quote, type Quoted } from './quoted-printable.js';
import { base64, flatten } from './serialise.js';

export interface PressOptions {
  cc: Address[];
  bcc: Address[];
  /** Merge fields are filled in, and what becomes of one without a value. Default: `{{` is text like any other. */
  merge?: MissingFields;
  /** The Date header. */
  date: Date;
}

export type Encoding = 'quoted-printable' | 'base64';
export type BodyField = 'text' | 'html';
export const BODIES: readonly BodyField[] = ['text', 'html'];

/** What each letter of a shape brings itself, and how that is encoded. */
export interface Shape {
  subject: boolean;
  text?: Encoding | undefined;
  html?: Encoding | undefined;
  /** Names of headers. */
  headers: readonly string[];
}

/** Quoted-printable keeps what is mostly ASCII readable and short; base64 is shorter for most other scripts. */
export function encodingOf(text: string): Encoding {
  return Buffer.byteLength(text) > 1.6 * text.length ? 'base64' : 'quoted-printable';
}

/**
 * Makes the plate of one shape. nodemailer composes a message with a mark in each place that is to stay open, and the marks
 * are looked for in what it wrote.
 *
 * @param sender of a letter, where it differs
 * @returns undefined when there is an attachment that only a stream can tell
 */
export function engrave(
  content: Content,
  options: PressOptions,
  own: Shape,
  sender: ((letter: Letter) => Address) | undefined,
): Plate | undefined {
  const { merge } = options;
  const inHeaders = new Marks<HeaderSlot>();
  const inBody = new Marks<OpenBody>();
  const openHeader = (slot: HeaderSlot): string => inHeaders.put(slot);
  const addressOf = (token: string): Address => ({ name: '', address: `${token}@open.invalid` });

  const probe: Message = { ...content, to: [], cc: options.cc, bcc: [] };
  probe.to = [addressOf(openHeader(({ to }, _, name) => addressHeader(name, to)))];
  if (sender) probe.from = addressOf(openHeader((each, _, name) => addressHeader(name, [sender(each)])));
  if (merge !== undefined && content.replyTo.some(hasField)) {
    const fills = content.replyTo.map((address) => compileAddress(address, merge));
    const fill = ({ data = NO_DATA }: Letter): Address[] => fills.map((one) => one(data));
    probe.replyTo = [addressOf(openHeader((each, _, name) => addressHeader(name, fill(each))))];
  }
  const template = (text: string, place: Place): Part[] => (merge === undefined ? [text] : parseTemplate(text, place));
  const openText = (text: string): string => {
    const parts = template(text, 'header');
    if (parts.every((part) => typeof part === 'string')) return parts.join('');
    const fill = compileParts(parts, 'header', merge!);
    return openHeader(({ data = NO_DATA }, _, name) => textHeader(name, fill(data)));
  };
  probe.subject = !own.subject
    ? openText(content.subject)
    : openHeader(({ subject = '' }, _, name) => textHeader(name, subject));
  probe.headers = content.headers.map(([name, value]) => [name, openText(value)]);
  own.headers.forEach((header, index) => {
    const fill: HeaderSlot = ({ headers = [] }, _, name) => textHeader(name, headers[index]![1]);
    probe.headers.push([header, openHeader(fill)]);
  });
  for (const field of BODIES) {
    const encoding = own[field];
    const text = content[field];
    if (encoding) {
      probe[field] = inBody.put({ slot: wholeSlot(field, encoding), encoding });
      continue;
    }
    if (text === undefined) continue;
    const parts = template(text, field);
    if (parts.every((part) => typeof part === 'string')) probe[field] = parts.join('');
    else {
      const fixed = parts.filter((part) => typeof part === 'string').join('');
      const chosen = encodingOf(fixed);
      probe[field] = inBody.put({ slot: mergeSlot(parts, field, merge!, chosen), encoding: chosen });
    }
  }
  const stamp: Stamp = {
    messageId: `<${openHeader((_, id, name) => `${name}: ${id}`)}@open.invalid>`,
    date: options.date,
  };
  // No encoded text can contain "=_" (RFC 2045 §6.7), so no letter can contain its boundaries.
  const root = composer(probe, stamp, { boundaryPrefix: '=_' }).compile();
  const flat = flatten(root, (leaf) => openLeaf(leaf, inBody));
  if (!flat) return undefined;
  return new Plate(openLines(flat.headers, inHeaders), joined(flat.body));
}

interface OpenBody {
  slot: BodySlot;
  encoding: Encoding;
}

/** What stands for places that are to stay open, in letters and digits that nobody can guess. */
class Marks<T> {
  private readonly slots: T[] = [];
  private readonly mark = `npm${randomBytes(12).toString('hex')}x`;

  /** Returns what to write in its place. */
  put(slot: T): string {
    return `${this.mark}${this.slots.push(slot) - 1}x`;
  }

  /** Whose place is in this text. */
  find(text: string): T | undefined {
    const at = text.indexOf(this.mark);
    return at < 0 ? undefined : this.slots[Number.parseInt(text.slice(at + this.mark.length), 10)];
  }
}

function openLeaf(leaf: MimeNode, marks: Marks<OpenBody>): BodySlot | undefined {
  const open = typeof leaf.content === 'string' ? marks.find(leaf.content) : undefined;
  if (open) leaf.setHeader('Content-Transfer-Encoding', open.encoding);
  return open?.slot;
}

/** The header block's fields, those of the letter's own left open. */
function openLines(block: string, marks: Marks<HeaderSlot>): (string | { name: string; slot: HeaderSlot })[] {
  const lines = block.split(/\r\n(?![ \t])/).map((line) => {
    const slot = marks.find(line);
    return slot ? { name: line.slice(0, line.indexOf(':')), slot } : `${line}\r\n`;
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

/** A part that each letter brings as a whole. */
function wholeSlot(field: BodyField, encoding: Encoding): BodySlot {
  return {
    write(letter, out) {
      const text = letter[field]!;
      if (encoding === 'quoted-printable') out.text(text);
      else out.raw(base64Text(text));
      return true;
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
        out.raw(base64Text(text));
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

function base64Text(text: string): string {
  return base64(Buffer.from(text.replace(/\r\n?|\n/g, '\r\n')));
}

function hasField({ name, address }: Address): boolean {
  return name.includes('{{') || address.includes('{{');
}
