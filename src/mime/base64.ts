import type { Attachment } from '../message/message.js';

/** RFC 2045 §6.8: no encoded line is longer. */
const LINE = 76;
/** Octets that make such a line. */
const OCTETS = 57;
/** Lines that are made in one go. */
const LINES = 512;
/** With its line end. */
const WHOLE_LINE = LINE + 2;
const [CR, LF] = [0x0d, 0x0a];

const scratch = Buffer.allocUnsafeSlow(LINE * LINES);

/** Each Buffer that `Base64Writer` has made. */
const made = new WeakSet<Buffer>();
/** What a content, or what stands for one, is in a message. */
const encoded = new WeakMap<Buffer, Buffer>();
const standIns = new WeakMap<Attachment, Buffer>();
/** What lines of base64 were decoded to, as long as somebody has it. */
const decoded = new WeakMap<Buffer, WeakRef<Buffer>>();

/** Writes octets as lines of base64 (RFC 2045 §6.8), each ended by CRLF. */
export class Base64Writer {
  private out: Buffer;
  private length = 0;
  /** Octets that do not fill a line yet. */
  private rest = Buffer.alloc(0);

  /** @param octets that will be written, if that is known */
  constructor(octets = 0) {
    this.out = Buffer.allocUnsafeSlow(sizeFor(octets));
  }

  write(chunk: Uint8Array): void {
    const { rest } = this;
    const missing = rest.length === 0 ? 0 : OCTETS - rest.length;
    if (chunk.length < missing) return this.keep(rest, chunk);
    if (missing > 0) this.encode(Buffer.concat([rest, chunk.subarray(0, missing)]));
    const end = chunk.length - ((chunk.length - missing) % OCTETS);
    this.encode(Buffer.from(chunk.buffer, chunk.byteOffset + missing, end - missing));
    this.keep(chunk.subarray(end));
  }

  /** All of it. The writer is of no more use. */
  end(): Buffer {
    this.encode(this.rest);
    const { out, length } = this;
    // A view would keep what was reserved beyond it.
    const bytes = out.length === length ? out : Buffer.from(out.subarray(0, length));
    made.add(bytes);
    return bytes;
  }

  private keep(...parts: Uint8Array[]): void {
    // The caller may use its chunk again.
    this.rest = Buffer.concat(parts);
  }

  private encode(octets: Buffer): void {
    this.reserve(sizeFor(octets.length));
    const { out } = this;
    let at = this.length;
    for (let from = 0; from < octets.length; from += OCTETS * LINES) {
      const length = scratch.write(octets.toString('base64', from, from + OCTETS * LINES), 'latin1');
      for (let line = 0; line < length; line += LINE) {
        const end = Math.min(line + LINE, length);
        at += scratch.copy(out, at, line, end);
        out[at++] = CR;
        out[at++] = LF;
      }
    }
    this.length = at;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.out.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.out.length * 2, this.length + more));
    this.out.copy(larger, 0, 0, this.length);
    this.out = larger;
  }
}

/** Octets as lines of base64, each ended by CRLF. */
export function base64Lines(content: Buffer): Buffer {
  const writer = new Base64Writer(content.length);
  writer.write(content);
  return writer.end();
}

/** The same, made once for a content that messages share. */
export function sharedBase64Lines(content: Buffer): Buffer {
  const known = encoded.get(content);
  if (known) return known;
  const lines = base64Lines(content);
  encoded.set(content, lines);
  return lines;
}

/** Whether it is whole lines of base64: no dot begins one, and no white space ends one. */
export function isBase64Lines(bytes: Buffer): boolean {
  return made.has(bytes);
}

/** An attachment whose bytes are at hand as they stand in messages. Its content is decoded when somebody looks at it. */
export function encodedAttachment(about: Omit<Attachment, 'content'>, lines: Buffer): Attachment {
  const attachment = {
    ...about,
    get content(): Buffer {
      return decodedLines(lines);
    },
  };
  const standIn = Buffer.from('-');
  encoded.set(standIn, lines);
  standIns.set(attachment, standIn);
  return attachment;
}

function decodedLines(lines: Buffer): Buffer {
  const known = decoded.get(lines)?.deref();
  if (known) return known;
  const content = Buffer.from(lines.toString('latin1'), 'base64');
  encoded.set(content, lines);
  decoded.set(lines, new WeakRef(content));
  return content;
}

/** What a composer is given for its content, and asks `sharedBase64Lines` about. It is good for nothing else. */
export function composedContent(attachment: Attachment): Buffer {
  return standIns.get(attachment) ?? attachment.content;
}

function sizeFor(octets: number): number {
  const lines = Math.floor(octets / OCTETS);
  const rest = octets % OCTETS;
  return lines * WHOLE_LINE + (rest === 0 ? 0 : Math.ceil(rest / 3) * 4 + 2);
}
