import type MimeNode from 'nodemailer/lib/mime-node';
import { encode, wrap } from 'nodemailer/lib/qp';

/** RFC 2045 §6.7 and §6.8: no encoded line is longer. */
const LINE = 76;

/** Base64 of an attachment that many messages share is made once. */
const encoded = new WeakMap<Buffer, string>();

/**
 * The bytes of a composed message, made in one go where nodemailer would set up streams. Undefined for what only a stream
 * can tell.
 */
export function serialise(root: MimeNode): Buffer | undefined {
  const parts: string[] = [];
  if (!write(root, parts)) return undefined;
  const text = parts.join('');
  const bytes = Buffer.from(text.replace(/\r?\n/g, '\r\n'));
  return text.endsWith('\n') ? bytes : Buffer.concat([bytes, Buffer.from('\r\n')]);
}

function write(node: MimeNode, parts: string[]): boolean {
  // The headers tell the boundary, so they come first.
  parts.push(node.buildHeaders(), '\r\n\r\n');
  const body = node.content === undefined ? '' : bodyOf(node);
  if (body === undefined) return false;
  parts.push(body);
  if (!node.multipart) return true;
  for (const [index, child] of node.childNodes.entries()) {
    parts.push(index > 0 ? '\r\n' : '', '--', String(node.boundary), '\r\n');
    if (!write(child, parts)) return false;
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
      return typeof content === 'string' && isText ? wrap(encode(content), LINE) : undefined;
    case 'base64':
      if (typeof content === 'string') return fold(Buffer.from(content));
      return Buffer.isBuffer(content) ? folded(content) : undefined;
    case '7bit':
      return typeof content === 'string' ? content : undefined;
    default:
      return content ? undefined : '';
  }
}

function folded(content: Buffer): string {
  const known = encoded.get(content);
  if (known !== undefined) return known;
  const text = fold(content);
  encoded.set(content, text);
  return text;
}

function fold(content: Buffer): string {
  return content.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n');
}
