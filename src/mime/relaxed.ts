import { createHash, type Hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isBase64Lines } from './base64.js';

/** A header field: its name in lower case, and its relaxed value. */
export interface RelaxedField {
  name: string;
  value: string;
}

/** The fields of a header block in relaxed canonicalisation (RFC 6376 §3.4.2), in their order. Each byte is one character. */
export function relaxedFields(headers: Buffer): RelaxedField[] {
  const fields: RelaxedField[] = [];
  for (const line of headers.toString('latin1').split(/\r?\n(?![ \t])/)) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    fields.push({ name: relaxedValue(line.slice(0, colon)).toLowerCase(), value: relaxedValue(line.slice(colon + 1)) });
  }
  return fields;
}

/** Unfolded, each run of spaces and tabs one space, none at the ends. Other white space, such as U+00A0, is text. */
export function relaxedValue(text: string): string {
  return text
    .replace(/\r?\n/g, '')
    .replace(/[ \t]+/g, ' ')
    .replace(/^ | $/g, '');
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/** Bytes that are hashed before others get their turn. */
const PIECE = 256 * 1024;

const hashes = new WeakMap<readonly Buffer[], Promise<string>>();

/**
 * The SHA-256 of a body in relaxed canonicalisation (RFC 6376 §3.4.4) as base64; made once for each body.
 *
 * @param body in pieces of whole lines
 */
export function relaxedBodyHash(body: readonly Buffer[]): Promise<string> {
  let hash = hashes.get(body);
  if (hash === undefined) hashes.set(body, (hash = hashRelaxed(body)));
  return hash;
}

async function hashRelaxed(body: readonly Buffer[]): Promise<string> {
  const hash = createHash('sha256');
  const last = body.findLastIndex((piece) => endOfContent(piece) > 0);
  let left = PIECE;
  for (const [index, piece] of body.slice(0, last + 1).entries()) {
    const end = index < last ? piece.length : endOfContent(piece);
    const read = isBase64Lines(piece) ? hashAsItIs : hashPiece;
    for (let at = 0; at < end;) {
      if (left <= 0) {
        await nextTurn();
        left = PIECE;
      }
      const from = at;
      at = read(hash, piece, from, Math.min(end, from + left));
      left -= at - from;
    }
  }
  if (last >= 0) hash.update('\r\n');
  return hash.digest('base64');
}

function hashAsItIs(hash: Hash, body: Buffer, from: number, to: number): number {
  hash.update(body.subarray(from, to));
  return to;
}

/** Returns where it has ended: at `to`, or behind white space that goes on there. */
function hashPiece(hash: Hash, body: Buffer, from: number, to: number): number {
  // A lone LF becomes CRLF.
  const scratch = Buffer.allocUnsafe(2 * (to - from));
  let at = from;
  let length = 0;
  // Most of a body stays as it is, and is copied in long runs.
  let run = from;
  for (; at < to; at++) {
    const byte = body[at]!;
    if (byte > SPACE) continue;
    if (byte === LF && body[at - 1] !== CR) {
      length += body.copy(scratch, length, run, at);
      scratch[length++] = CR;
      run = at;
    } else if (byte === SPACE || byte === TAB) {
      let next = at + 1;
      while (body[next] === SPACE || body[next] === TAB) next++;
      const endsLine = body[next] === LF || (body[next] === CR && body[next + 1] === LF);
      if (!endsLine && byte === SPACE && next === at + 1) continue;
      length += body.copy(scratch, length, run, at);
      if (!endsLine) scratch[length++] = SPACE;
      run = next;
      at = next - 1;
    }
  }
  length += body.copy(scratch, length, run, at);
  hash.update(scratch.subarray(0, length));
  return at;
}

/** Where the white space begins that ends the body, empty lines among it. A CR without LF is text. */
function endOfContent(body: Buffer): number {
  let end = body.length;
  while (end > 0) {
    const byte = body[end - 1];
    const white = byte === SPACE || byte === TAB || byte === LF || (byte === CR && body[end] === LF);
    if (!white) break;
    end--;
  }
  return end;
}
