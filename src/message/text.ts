/** With LF for every line end, a CR that stands alone among them. */
export function oneKindOfLineEnd(text: string): string {
  return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
}

/** Why a string cannot be a header's value, or undefined when it can. */
export function headerFault(value: string): string | undefined {
  if (/[\r\n\0]/.test(value)) return 'must not contain CR, LF or NUL';
  // A line is folded at spaces only, and ends after 998 octets (RFC 5322 §2.1.1).
  if (/[!-~]{901}/.test(value)) return 'must not contain a word of more than 900 characters';
  return undefined;
}

/**
 * A copy of JSON-like data in which lone surrogates are replaced by U+FFFD, or a complaint: NUL anywhere and values that
 * JSON would drop or change are refused, because a store would refuse the whole batch for them (PostgreSQL's jsonb) or
 * the worker would see something else than the caller passed. `length` is about that of its JSON, escapes not counted.
 */
export function cleanJson(value: unknown): { value: unknown; length: number } | { problem: string } {
  const before = measured;
  try {
    const cleaned = clean(value, 0);
    return { value: cleaned, length: measured - before };
  } catch (error) {
    if (error instanceof Unclean) return { problem: error.message };
    throw error;
  }
}

/** The same for data that must be an object, such as a recipient's context. */
export function cleanObject(value: unknown): { value: Record<string, unknown>; length: number } | { problem: string } {
  const cleaned = cleanJson(value);
  if ('problem' in cleaned) return cleaned;
  if (typeof cleaned.value !== 'object' || cleaned.value === null || Array.isArray(cleaned.value)) {
    return { problem: 'must be an object' };
  }
  return { value: cleaned.value as Record<string, unknown>, length: cleaned.length };
}

const MAX_KEY_LENGTH = 255;
export const KEY_RULE = `must be a string of at most ${MAX_KEY_LENGTH} characters without NUL`;

/** A name that callers choose for something of theirs: a recipient's group or idempotency key. */
export function isKey(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_KEY_LENGTH && !value.includes('\0');
}

export const LOCALE_RULE = "must be a language tag such as 'ko' or 'en-GB'";

/** A language tag (BCP 47), or one with `_`; at most 35 characters. */
export function isLocale(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 35 && /^[A-Za-z]{1,8}([-_][A-Za-z0-9]{1,8})*$/.test(value);
}

export const TEMPLATE_RULE = "must be a template's name such as 'welcome' or 'auth/reset', without '..'";

/** A name, with folders before it. At most 200 characters; it never leads out of the engine's own folder. */
export function isTemplateName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 200 && /^[\w-]+([./][\w-]+)*$/.test(value);
}

class Unclean extends Error {}
const MAX_DEPTH = 20;

/** Characters of JSON of all that was cleaned so far. */
let measured = 0;

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') {
    if (value.includes('\0')) throw new Unclean('contains a NUL character');
    measured += value.length + 3;
    return value.toWellFormed();
  }
  measured += 5;
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new Unclean(`contains ${value}, which JSON cannot carry`);
    measured += 20;
    return value;
  }
  if (depth > MAX_DEPTH) throw new Unclean(`is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    // Holes are `null` in JSON as well.
    measured += 5 * value.length;
    return value.map((entry) => (entry === undefined ? null : clean(entry, depth + 1)));
  }
  if (typeof value === 'object' && (isPlain(value) || !isOpaque(value))) {
    const { toJSON } = value as { toJSON?: () => unknown };
    if (typeof toJSON === 'function') return clean(toJSON.call(value), depth + 1);
    const result: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      if (key === '__proto__') throw new Unclean('contains the key __proto__');
      const entry = (value as Record<string, unknown>)[key];
      if (entry !== undefined) result[cleanKey(key, depth)] = clean(entry, depth + 1);
    }
    return result;
  }
  const what = typeof value === 'object' ? value.constructor.name : typeof value;
  throw new Unclean(`contains a ${what}, which JSON cannot carry`);
}

/** Keys that needed no cleaning: contexts have the same ones again and again. */
const cleanKeys = new Set<string>();

function cleanKey(key: string, depth: number): string {
  measured += key.length + 3;
  if (cleanKeys.has(key)) return key;
  const cleaned = clean(key, depth) as string;
  if (cleaned === key && key.length <= 64 && cleanKeys.size < 1_000) cleanKeys.add(key);
  return cleaned;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isOpaque(value: object): boolean {
  return ArrayBuffer.isView(value) || OPAQUE.some((type) => value instanceof type);
}

/** JSON turns these into `{}` or worse. */
const OPAQUE = [Map, Set, Promise, RegExp, Error, ArrayBuffer];

const MAX_REPLY = 500;

/** A multi-line reply on one line, control characters removed: it goes into logs and records. */
export function oneLine(reply: string): string {
  const line = reply
    .toWellFormed()
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  return line.length > MAX_REPLY ? `${line.slice(0, MAX_REPLY)}…` : line;
}

/** A mail server's words for a page that anybody may read: without what stands in `<…>` or looks like an address. */
export function withoutAddresses(words: string): string {
  return words.replace(/<[^<>]*>/g, '<…>').replace(/("[^"]*"|[^\s<>()[\],;:"']+)@[^\s<>(),;:"']+/g, '…');
}
