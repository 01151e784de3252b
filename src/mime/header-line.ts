import { foldLines } from 'nodemailer/lib/mime-funcs';
import MimeNode from 'nodemailer/lib/mime-node';
import type { Address } from '../message/address.js';

/** RFC 5322 §2.1.1. */
const LINE = 76;
/** What nodemailer would leave as it is, and most values are: printable ASCII that is no encoded word. */
const PLAIN_TEXT = /^[!-~](?:[ -~]*[!-~])?$/;
const PLAIN_NAME = /^\w+(?: \w+)*$/;
const PLAIN_ADDRESS = /^[\w+-]+(?:\.[\w+-]+)*@[a-z0-9]+(?:[.-][a-z0-9]+)*$/;

/** Header fields that are neither addresses nor otherwise structured. */
const UNSTRUCTURED = /^(subject|x-.*)$/i;

/** One header field with a text value, encoded and folded, without its last CRLF; empty when the value is. */
export function textHeader(name: string, value: string): string {
  if (UNSTRUCTURED.test(name) && PLAIN_TEXT.test(value) && !value.includes('=?')) {
    const line = `${name}: ${value}`;
    if (line.length < LINE) return line;
  }
  return field(name, value);
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
