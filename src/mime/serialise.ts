import type MimeNode from 'nodemailer/lib/mime-node';
import { encode, wrap } from 'nodemailer/lib/qp';
import type { Encoded } from './encoded.js';

/** RFC 2045 §6.7 and §6.8: no encoded line is longer. */
const LINE = 76;

/** Base64 of an attachment that many messages share is made once. */
const encoded = new WeakMap<Buffer, string>();

/** A composed message with places left open in its body. */
export interface Flat<T> {
  /** Without the empty line after it. */
  headers: string;
  /** CRLF line ends. */
  body: (string | T)[];
}

/**
 * The bytes of a composed message, made in one go where nodemailer would set up streams. Undefined for what only a stream
 * can tell.
 */
export function serialise(root: MimeNode): Encoded | undefined {
  const flat = flatten<never>(root, () => undefined);
  if (!flat) return undefined;
  const body = flat.body.join('');
  return {
    headers: Buffer.from(`${flat.headers}\r\n\r\n`),
    body: Buffer.from(body === '' || body.endsWith('\n') ? body : `${body}\r\n`),
  };
}

/** @param openAt what is put in place of a part's body, if anything; called before the part's headers are made */
export function flatten<T extends object>(
  root: MimeNode,
  openAt: (leaf: MimeNode) => T | undefined,
): Flat<T> | undefined {
  const open = openAt(root);
  // The headers tell the boundary, so they come first.
  const headers = root.buildHeaders();
  const body: (string | T)[] = [];
  return writeBody(root, open, body, openAt) ? { headers, body } : undefined;
}

function write<T extends object>(node: MimeNode, parts: (string | T)[], openAt: (leaf: MimeNode) => T | undefined) {
  const open = openAt(node);
  parts.push(node.buildHeaders(), '\r\n\r\n');
  return writeBody(node, open, parts, openAt);
}

function writeBody<T extends object>(
  node: MimeNode,
  open: T | undefined,
  parts: (string | T)[],
  openAt: (leaf: MimeNode) => T | undefined,
): boolean {
  const body = open ?? (node.content === undefined ? '' : bodyOf(node));
  if (body === undefined) return false;
  parts.push(body);
  if (!node.multipart) return true;
  for (const [index, child] of node.childNodes.entries()) {
    parts.push(index > 0 ? '\r\n' : '', '--', String(node.boundary), '\r\n');
    if (!write(child, parts, openAt)) return false;
  }
  parts.push('\r\n--', String(node.boundary), '--\r\n');
  return true;
}

function bodyOf(node: MimeNode): string | undefined {
  const { content } = node;
  const isText = /^text\//i.test(node.contentType ?? '');
  switch (node.getTransferEncoding()) {
    case 'quoted-printable':
      // Elsewhere a line break is data.
      return typeof content === 'string' && isText ? withCrlf(wrap(encode(content), LINE)) : undefined;
    case 'base64':
      if (typeof content === 'string') return foldBase64(Buffer.from(content));
      return Buffer.isBuffer(content) ? folded(content) : undefined;
    case '7bit':
      return typeof content === 'string' ? withCrlf(content) : undefined;
    default:
      return content ? undefined : '';
  }
}

function withCrlf(text: string): string {
  return text.replace(/\r?\n/g, '\r\n');
}

function folded(content: Buffer): string {
  const known = encoded.get(content);
  if (known !== undefined) return known;
  const text = foldBase64(content);
  encoded.set(content, text);
  return text;
}

/** Base64 in lines (RFC 2045 §6.8). */
export function foldBase64(content: Buffer): string {
  return content.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n');
}
