import { MailError } from '../errors.js';
import { isMailAddress, type Address } from '../message/address.js';
import { ownParts, type Content, type OwnParts } from '../message/message.js';
import { headerFault, oneKindOfLineEnd } from '../message/text.js';

/** Where a merge value stands decides how it is escaped. */
export type Place = 'html' | 'text' | 'header';

/** The values a field is looked up in, in this order: reserved ones, the recipient's own context, then its group's data. */
export interface MergeData {
  /** What the message itself says about its recipient. */
  reserved?: Readonly<Record<string, string>>;
  context: Readonly<Record<string, unknown>>;
  group: Readonly<Record<string, unknown>>;
  /** Whose they are, for errors. */
  recipient?: string;
}

export const NO_DATA: MergeData = { context: {}, group: {} };

export type MissingFields = 'error' | 'empty';

/** A merge field has no value, or one that cannot be text. */
export class MergeError extends MailError {
  constructor(
    readonly field: string,
    problem: string,
  ) {
    super(`The merge field ${field.includes('{{') ? field : `{{${field}}}`} ${problem}`, {
      permanent: true,
      code: 'MERGE',
    });
  }
}

export interface Field {
  /** As it is written: a dotted path. */
  name: string;
  path: readonly string[];
  /** Written with three braces: HTML that the template's author trusts. */
  trusted: boolean;
}

/** Fixed text and fields by turns, in any order; no text is empty. */
export type Part = string | Field;
type Filled<T> = (data: MergeData) => T;

/** No header value of fewer characters has a fault that its template has not. */
const SHORT = 900;

const NAME = String.raw`\s*([\p{L}\p{N}_$-]+(?:\.[\p{L}\p{N}_$-]+)*)\s*`;
/** A backslash keeps `{{` literal; a field is a dotted path of names in two braces, or in three. */
const FIELD = new RegExp(String.raw`\\\{\{|\{\{\{${NAME}\}\}\}|\{\{${NAME}\}\}`, 'gu');

/** Line ends of a body are LF afterwards, in text between fields and in values alike. */
export function parseTemplate(template: string, place: Place): Part[] {
  const parts: Part[] = [];
  let text = '';
  let from = 0;
  const cut = (): void => {
    if (text !== '') parts.push(place === 'header' ? text : oneKindOfLineEnd(text));
    text = '';
  };
  for (const match of template.matchAll(FIELD)) {
    text += template.slice(from, match.index);
    from = match.index + match[0].length;
    const name = match[1] ?? match[2];
    if (name === undefined) {
      text += '{{';
      continue;
    }
    cut();
    parts.push({ name, path: name.split('.'), trusted: match[1] !== undefined });
  }
  text += template.slice(from);
  cut();
  return parts;
}

/** Compiles `{{a.b}}` fields once; the result fills them in for one recipient. Logic-free. */
export function compileText(template: string, place: Place, missing: MissingFields): Filled<string> {
  return compileParts(parseTemplate(template, place), place, missing);
}

/** The same for a template that is parsed. @throws MergeError when filled in */
export function compileParts(parts: readonly Part[], place: Place, missing: MissingFields): Filled<string> {
  const fields = parts.filter((part) => typeof part !== 'string');
  if (fields.length === 0) {
    const fixed = (parts as string[]).join('');
    return () => fixed;
  }
  return (data) => {
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : valueFor(part, data, place, missing);
    // The template was checked before; this is the values' doing.
    const fault = place === 'header' && text.length > SHORT ? headerFault(text) : undefined;
    if (!fault) return text;
    const length = (field: Field): number => valueFor(field, data, place, missing).length;
    const longest = fields.reduce((one, other) => (length(other) > length(one) ? other : one));
    throw new MergeError(longest.name, `makes no header ${whose(data)}: it ${fault}`);
  };
}

/** A field's value for one recipient, escaped for where it stands. @throws MergeError */
export function valueFor(field: Field, data: MergeData, place: Place, missing: MissingFields): string {
  const value = valueOf(field, data, missing);
  return field.trusted && place === 'html' ? oneKindOfLineEnd(value) : escape(value, place);
}

/**
 * Compiles the shared content of a campaign; attachments pass through. What a message says itself is not filled in.
 *
 * @throws MergeError when filled in
 */
export function compileContent(content: Content, missing: MissingFields): (data: MergeData, own?: OwnParts) => Content {
  const optional = (template: string | undefined, place: Place): Filled<string> | undefined =>
    template === undefined ? undefined : compileText(template, place, missing);
  const subject = compileText(content.subject, 'header', missing);
  const text = optional(content.text, 'text');
  const html = optional(content.html, 'html');
  const from = compileAddress(content.from, missing);
  const replyTo = content.replyTo.map((address) => compileAddress(address, missing));
  const headers = content.headers.map(([name, value]) => [name, compileText(value, 'header', missing)] as const);
  return (data, own = {}) => ({
    ...content,
    from: from(data),
    replyTo: replyTo.map((fill) => fill(data)),
    subject: own.subject ?? subject(data),
    headers: headers.map(([name, fill]): [string, string] => [name, fill(data)]),
    ...(text && own.text === undefined ? { text: text(data) } : {}),
    ...(html && own.html === undefined ? { html: html(data) } : {}),
    ...ownParts(own),
  });
}

export function compileAddress(template: Address, missing: MissingFields): Filled<Address> {
  const name = compileText(template.name, 'header', missing);
  const address = compileText(template.address, 'header', missing);
  if (!template.address.includes('{{')) return (data) => ({ name: name(data), address: template.address });
  return (data) => {
    const filled = address(data);
    if (!isMailAddress(filled)) throw new MergeError(template.address, `makes no address ${whose(data)}`);
    return { name: name(data), address: filled };
  };
}

function valueOf({ name, path }: Field, data: MergeData, missing: MissingFields): string {
  const value = lookup(data.reserved, path) ?? lookup(data.context, path) ?? lookup(data.group, path);
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(value);
    case 'undefined':
      if (missing === 'empty') return '';
      throw new MergeError(name, `has no value ${whose(data)}`);
    default:
      throw new MergeError(name, `is not text ${whose(data)}; name one of its fields`);
  }
}

function whose({ recipient }: MergeData): string {
  return recipient === undefined ? 'for this recipient' : `for ${recipient}`;
}

/** Own properties only: `{{constructor.name}}` finds nothing. */
function lookup(data: unknown, path: readonly string[]): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value ?? undefined;
}

const HTML: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** Most values are names and keys, which are the same in all places. */
const THE_SAME = /^[\w .,:;/@#+?%-]*$/;

/** A value as it can stand there. */
export function escape(value: string, place: Place): string {
  if (THE_SAME.test(value)) return value;
  if (place === 'text') return oneKindOfLineEnd(value);
  if (place === 'html') return oneKindOfLineEnd(value).replace(/[&<>"']/g, (char) => HTML[char]!);
  // A name with a line break in it is a name; only the break is refused entry to the header.
  return value.replace(/\p{Cc}+/gu, ' ');
}
