import { foldLines } from 'nodemailer/lib/mime-funcs';
import MimeNode from 'nodemailer/lib/mime-node';
import type { Address } from '../message/address.js';

/** RFC 5322 §2.1.1. */
const LINE = 76;
/** What nodemailer would leave as it is, and most values are: printable ASCII that is no encoded word. */
const PLAIN_TEXT = /^[!-~](?:[ -~]*[!-~])?$/;
const PLAIN_NAME = /^\w+(?: \w+)*$/;
const PLAIN_ADDRESS = /^[\w+-]+(?:\.[\w+-]+)*@[a-z0-9]+(?:[.-][a-z0-9]+)*$/;

/** Header fields whose values are URLs (RFC 2369). */
const OF_URLS = /^list-(help|unsubscribe|subscribe|post|owner|archive)$/i;
const URLS = /^<[!-;=?-~]+>(?:,[ \t]*<[!-;=?-~]+>)*$/;

/** Header fields that are neither addresses nor otherwise structured. */
const UNSTRUCTURED = /^(subject|x-.*|list-.*)$/i;

/** One header field with a text value, encoded and folded, without its last CRLF; empty when the value is. */
export function textHeader(name: string, value: string): string {
  const isShort = name.length + ': '.length + value.length < LINE;
  if (isShort && UNSTRUCTURED.test(name) && PLAIN_TEXT.test(value) && !value.includes('=?')) return `${name}: ${value}`;
  const urls = foldedUrls(name, value);
  return urls === undefined ? field(name, value) : `${name}: ${urls}`;
}

/**
 * The value of a header of URLs, folded between them alone. nodemailer would begin the first line and leave it empty where the
 * first URL is long; relays are known to join such lines, which breaks signatures. Undefined: it is none.
 */
export function foldedUrls(name: string, value: string): string | undefined {
  return OF_URLS.test(name) && URLS.test(value) ? value.replace(/>,[ \t]*</g, '>,\r\n <') : undefined;
}

/** One header field with addresses, encoded and folded, without its last CRLF; empty without any. */
export function addressHeader(name: string, addresses: readonly Address[]): string {
  const [one] = addresses;
  if (one && addresses.length === 1 && PLAIN_ADDRESS.test(one.address)) {
    const line =
      one.name === ''
        ? `${name}: ${one.address}`
        : PLAIN_NAME.test(one.name)
          ? `${name}: ${one.name} <${one.address}>`
          : '';
    if (line !== '' && line.length < LINE) return line;
  }
  if (!one) return '';
  return field(
    name,
    addresses.map(({ name, address }) => ({ name, address })),
  );
}

function field(name: string, value: unknown): string {
  const encoded = MimeNode.encodeHeaderValue(name, value as string);
  return encoded.trim() === '' ? '' : foldLines(`${name}: ${encoded}`, LINE);
}
