import { isEmail } from 'class-validator';
import { domainToASCII } from 'node:url';
import addressparser from 'nodemailer/lib/addressparser';
import type { Fault } from '../errors.js';

/** A mailbox. `name` is empty when there is none; `address` may be internationalised (RFC 6531). */
export interface Address {
  readonly name: string;
  readonly address: string;
}

/** `'a@b.test'`, `'Name <a@b.test>'` or `{ name, address }`. */
export type AddressInput = string | { name?: string; address: string };

/** One address, several, or a comma-separated string of them. */
export type AddressesInput = AddressInput | readonly AddressInput[];

const PLAIN = /^[^\s<>"(),:;[\]\\]+@[^\s<>"(),:;\\]+$/;
const CONTROL = /\p{Cc}/u;
const MAX_NAME_LENGTH = 255;
const MERGE_FIELD = /\{\{\s*([^{}]+?)\s*\}\}/g;
const ONLY_A_MERGE_FIELD = /^\{\{[^{}]+\}\}$/;

/** RFC 5321 limits; UTF-8 local parts and domains allowed, a dot in the domain is not required (`root@localhost`). */
const RULES = { allow_utf8_local_part: true, require_tld: false, allow_ip_domain: true } as const;

/** What most addresses look like, and no rule refuses. */
const COMMON = /^[\w+-]+(?:\.[\w+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}$/;
/** No part of an address this short is too long. */
const SHORT = 64;

export function isMailAddress(value: unknown): value is string {
  if (typeof value === 'string' && value.length <= SHORT && COMMON.test(value)) return true;
  // Quoted local parts are legal and unused, and parsers disagree about where such an address goes.
  return (
    typeof value === 'string' &&
    value.isWellFormed() &&
    PLAIN.test(value) &&
    !CONTROL.test(value) &&
    isEmail(value, RULES)
  );
}

export interface ParsedAddresses {
  addresses: Address[];
  faults: Fault[];
}

/**
 * Reads addresses as nodemailer does and reports each that cannot be one.
 *
 * @param mergeable the address may hold `{{merge}}` fields; it is checked again when they are filled in
 */
export function parseAddresses(input: unknown, path: string, mergeable = false): ParsedAddresses {
  const result: ParsedAddresses = { addresses: [], faults: [] };
  if (input === undefined || input === null) return result;
  if (Array.isArray(input)) {
    input.forEach((entry, index) => parseEntry(entry, `${path}[${index}]`, mergeable, result));
  } else {
    parseEntry(input, path, mergeable, result);
  }
  return result;
}

/** What was found in lists that applications give again and again, such as their own sender. */
const known = new Map<string, readonly Address[]>();
const KNOWN = 100;

function parseEntry(entry: unknown, path: string, mergeable: boolean, result: ParsedAddresses): void {
  if (typeof entry === 'string') {
    if (CONTROL.test(entry)) {
      result.faults.push({ path, message: 'contains a control character such as CR, LF or NUL' });
    } else if (isMailAddress(entry)) {
      result.addresses.push({ name: '', address: entry });
    } else {
      parseKnown(entry, path, mergeable, result);
    }
  } else if (typeof entry === 'object' && entry !== null && 'address' in entry) {
    const { name, address } = entry as { name?: unknown; address?: unknown };
    collect({ name: name ?? '', address }, path, mergeable, result);
  } else {
    result.faults.push({ path, message: 'must be a string or { name, address }' });
  }
}

function parseKnown(entry: string, path: string, mergeable: boolean, result: ParsedAddresses): void {
  const fixed = !mergeable || !entry.includes('{{');
  const before = fixed ? known.get(entry) : undefined;
  if (before) return void result.addresses.push(...before);
  const parsed: ParsedAddresses = { addresses: [], faults: [] };
  parseList(entry, path, mergeable, parsed);
  result.addresses.push(...parsed.addresses);
  result.faults.push(...parsed.faults);
  if (!fixed || parsed.faults.length > 0 || entry.length > MAX_NAME_LENGTH) return;
  if (known.size >= KNOWN) known.clear();
  known.set(entry, parsed.addresses);
}

function parseList(entry: string, path: string, mergeable: boolean, result: ParsedAddresses): void {
  // A space inside a merge field would end the address in the parser's eyes.
  const parsed = addressparser(mergeable ? entry.replace(MERGE_FIELD, '{{$1}}') : entry, { flatten: true });
  if (parsed.length === 0) result.faults.push({ path, message: `${quote(entry)} is not an address` });
  for (const { name = '', address } of parsed) {
    // The parser takes the second of two addresses without a comma for the name of the first, and text without an @ for a
    // name.
    if (isMailAddress(name) && !entry.includes('<')) {
      result.faults.push({ path, message: `${quote(entry)} lacks a comma between its addresses` });
    } else if (address) collect({ name, address }, path, mergeable, result);
    else if (mergeable && ONLY_A_MERGE_FIELD.test(name)) collect({ name: '', address: name }, path, mergeable, result);
    else result.faults.push({ path, message: `${quote(name || entry)} is not an address` });
  }
}

function collect(
  found: { name: unknown; address: unknown },
  path: string,
  mergeable: boolean,
  result: ParsedAddresses,
): void {
  const { name, address } = found;
  if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH || CONTROL.test(name)) {
    const message = `the display name must be a string of at most ${MAX_NAME_LENGTH} characters without control characters`;
    result.faults.push({ path, message });
  } else if (!isMailAddress(address) && !(mergeable && mayBecomeAddress(address))) {
    result.faults.push({ path, message: `${quote(address)} is not an address` });
  } else {
    result.addresses.push({ name: name.toWellFormed(), address: address as string });
  }
}

/** Whether it can be an address once its merge fields are filled in. */
function mayBecomeAddress(template: unknown): boolean {
  if (typeof template !== 'string') return false;
  return ONLY_A_MERGE_FIELD.test(template) || isMailAddress(template.replace(MERGE_FIELD, 'x'));
}

function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : typeof value;
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

/** The part after the last `@`. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}

/** What is ASCII already, and need not be asked. */
const PLAIN_DOMAIN = /^(?:[a-z0-9]+[.-])*[a-z]+$/;

/** A domain in ASCII (RFC 5891); empty when it has no such form. */
export function asciiDomain(domain: string): string {
  return PLAIN_DOMAIN.test(domain) ? domain : domainToASCII(domain);
}

const HAS_CAPITALS = /[^!-@[-~]/;

/** What makes two spellings the same mailbox: domains ignore case, local parts do not (RFC 5321 §2.4). */
export function addressKey(address: string): string {
  if (!HAS_CAPITALS.test(address)) return address;
  const at = address.lastIndexOf('@');
  return `${address.slice(0, at)}@${address.slice(at + 1).toLowerCase()}`;
}
