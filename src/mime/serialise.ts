import type MimeNode from 'nodemailer/lib/mime-node';
import { encode, wrap } from 'nodemailer/lib/qp';
import { base64Lines, sharedBase64Lines } from './base64.js';
import type { Encoded } from './encoded.js';

/** RFC 2045 §6.7: no encoded line is longer. */
const LINE = 76;

/** What is encoded to fewer octets is copied into each message: one write takes less than two. */
const OWN_PIECE = 32 * 1024;

/** A composed message with places left open in its body. */
export interface Flat<T> {
  /** Without the empty line after it. */
  headers: string;
  /** CRLF line ends. A Buffer is whole lines, and stands behind and before whole lines. */
  body: (string | Buffer | T)[];
}

/**
 * The bytes of a composed message, made in one go where nodemailer would set up streams. Undefined for what only a stream
 * can tell.
 */
export function serialise(root: MimeNode): Encoded | undefined {
  const flat = flatten<never>(root, () => undefined);
  if (!flat) return undefined;
  return { headers: Buffer.from(`${flat.headers}\r\n\r\n`), body: piecesOf(flat.body) };
}

function piecesOf(parts: readonly (string | Buffer)[]): Buffer[] {
  const pieces: Buffer[] = [];
  let text = '';
  const cut = (): void => {
    if (text !== '') pieces.push(Buffer.from(text.endsWith('\n') ? text : `${text}\r\n`));
    text = '';
  };
  for (const part of parts) {
    if (typeof part === 'string') text += part;
    else {
      cut();
      pieces.push(part);
    }
  }
  cut();
  return pieces;
}

/** @param openAt what is put in place of a part's body, if anything; called before the part's headers are made */
export function flatten<T extends object>(
  root: MimeNode,
  openAt: (leaf: MimeNode) => T | undefined,
): Flat<T> | undefined {
  const open = openAt(root);
  // The headers tell the boundary, so they come first.
  const headers = root.buildHeaders();
  const body: Flat<T>['body'] = [];
  return writeBody(root, open, body, openAt) ? { headers, body } : undefined;
}

function write<T extends object>(node: MimeNode, parts: Flat<T>['body'], openAt: (leaf: MimeNode) => T | undefined) {
  const open = openAt(node);
  parts.push(node.buildHeaders(), '\r\n\r\n');
  return writeBody(node, open, parts, openAt);
}

function writeBody<T extends object>(
  node: MimeNode,
  open: T | undefined,
  parts: Flat<T>['body'],
  openAt: (leaf: MimeNode) => T | undefined,
): boolean {
  const body = open ?? (node.content === undefined ? '' : bodyOf(node));
  if (body === undefined) return false;
  parts.push(body);
  if (!node.multipart) return true;
  for (const [index, child] of node.childNodes.entries()) {
    if (index > 0) endLine(parts);
    parts.push('--', String(node.boundary), '\r\n');
    if (!write(child, parts, openAt)) return false;
  }
  endLine(parts);
  parts.push('--', String(node.boundary), '--\r\n');
  return true;
}

/** The line end before a boundary is the boundary's (RFC 2046 §5.1.1); a Buffer brings it along. */
function endLine<T extends object>(parts: Flat<T>['body']): void {
  if (!Buffer.isBuffer(parts.at(-1))) parts.push('\r\n');
}

function bodyOf(node: MimeNode): string | Buffer | undefined {
  const { content } = node;
  const isText = /^text\//i.test(node.contentType ?? '');
  switch (node.getTransferEncoding()) {
    case 'quoted-printable':
      // Elsewhere a line break is data.
      return typeof content === 'string' && isText ? withCrlf(wrap(encode(content), LINE)) : undefined;
    case 'base64':
      if (typeof content === 'string') return base64(Buffer.from(content));
      return Buffer.isBuffer(content) ? attached(content) : undefined;
    case '7bit':
      return typeof content === 'string' ? withCrlf(content) : undefined;
    default:
      return content ? undefined : '';
  }
}

function withCrlf(text: string): string {
  return text.replace(/\r?\n/g, '\r\n');
}

function attached(content: Buffer): string | Buffer {
  const lines = sharedBase64Lines(content);
  return lines.length < OWN_PIECE ? withoutEnd(lines) : lines;
}

/** Base64 in lines (RFC 2045 §6.8); the last one is not ended. */
export function base64(content: Buffer): string {
  return withoutEnd(base64Lines(content));
}

function withoutEnd(lines: Buffer): string {
  return lines.toString('latin1', 0, Math.max(0, lines.length - 2));
}
