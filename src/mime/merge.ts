import { MailError } from '../errors.js';
import { isMailAddress, type Address } from '../message/address.js';
import type { Content } from '../message/message.js';

/** Where a merge value stands decides how it is escaped. */
export type Place = 'html' | 'text' | 'header';

/** The values a field is looked up in, in this order: the recipient's own context, then its group's data. */
export interface MergeData {
  context: Readonly<Record<string, unknown>>;
  group: Readonly<Record<string, unknown>>;
}

/** A merge field has no value, or one that cannot be text. */
export class MergeError extends MailError {
  constructor(
    readonly field: string,
    problem: string,
  ) {
    super(`The merge field {{${field}}} ${problem}`, { permanent: true, code: 'MERGE' });
  }
}

type Part = string | { field: string; path: readonly string[] };
type Filled<T> = (data: MergeData) => T;

/** A backslash keeps `{{` literal; a field is a dotted path of names. */
const FIELD = /\\\{\{|\{\{\s*([\p{L}\p{N}_$-]+(?:\.[\p{L}\p{N}_$-]+)*)\s*\}\}/gu;

function parse(template: string): Part[] {
  const parts: Part[] = [];
  let from = 0;
  for (const match of template.matchAll(FIELD)) {
    parts.push(template.slice(from, match.index));
    parts.push(match[1] === undefined ? '{{' : { field: match[1], path: match[1].split('.') });
    from = match.index + match[0].length;
  }
  parts.push(template.slice(from));
  return parts.filter((part) => part !== '');
}

/** Compiles `{{a.b}}` fields once; the result fills them in for one recipient. Logic-free. */
export function compileText(template: string, place: Place, missing: 'error' | 'empty'): Filled<string> {
  const parts = parse(template);
  if (parts.every((part) => typeof part === 'string')) {
    const fixed = parts.join('');
    return () => fixed;
  }
  return (data) => {
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : escape(valueOf(part, data, missing), place);
    return text;
  };
}

/** Compiles the shared content of a campaign; attachments pass through. @throws MergeError when filled in */
export function compileContent(content: Content, missing: 'error' | 'empty'): Filled<Content> {
  const optional = (template: string | undefined, place: Place): Filled<string> | undefined =>
    template === undefined ? undefined : compileText(template, place, missing);
  const subject = compileText(content.subject, 'header', missing);
  const text = optional(content.text, 'text');
  const html = optional(content.html, 'html');
  const from = compileAddress(content.from, missing);
  const replyTo = content.replyTo.map((address) => compileAddress(address, missing));
  const headers = content.headers.map(([name, value]) => [name, compileText(value, 'header', missing)] as const);
  return (data) => ({
    ...content,
    from: from(data),
    replyTo: replyTo.map((fill) => fill(data)),
    subject: subject(data),
    headers: headers.map(([name, fill]): [string, string] => [name, fill(data)]),
    ...(text ? { text: text(data) } : {}),
    ...(html ? { html: html(data) } : {}),
  });
}

function compileAddress(template: Address, missing: 'error' | 'empty'): Filled<Address> {
  const name = compileText(template.name, 'header', missing);
  const address = compileText(template.address, 'header', missing);
  if (!template.address.includes('{{')) return (data) => ({ name: name(data), address: template.address });
  return (data) => {
    const filled = address(data);
    if (!isMailAddress(filled)) throw new MergeError(template.address, 'makes an address that is none');
    return { name: name(data), address: filled };
  };
}

function valueOf(part: Exclude<Part, string>, data: MergeData, missing: 'error' | 'empty'): string {
  const value = lookup(data.context, part.path) ?? lookup(data.group, part.path);
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(value);
    case 'undefined':
      if (missing === 'empty') return '';
      throw new MergeError(part.field, 'has no value for this recipient');
    default:
      throw new MergeError(part.field, 'is not text; name one of its fields');
  }
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

function escape(value: string, place: Place): string {
  if (place === 'text') return value;
  if (place === 'html') return value.replace(/[&<>"']/g, (char) => HTML[char]!);
  // A name with a line break in it is a name; only the break is refused entry to the header.
  return value.replace(/\p{Cc}+/gu, ' ');
}
