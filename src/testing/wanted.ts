import type { Lane } from '../message/message.js';
import { envelopeAddress } from '../mime/compose.js';
import { mailClassOf } from '../nest/mail-class.js';
import type { OutgoingMail } from './outgoing-mail.js';

/** A mail class. */
export type MailClass = abstract new (...args: never[]) => object;

/** What a message must be; everything that is given must hold. */
export interface MailMatcher {
  /** One of its envelope recipients: to, cc or bcc. */
  to?: string | RegExp;
  /** Its address, or all of it, such as `Shop <no-reply@shop.example>`. */
  from?: string | RegExp;
  subject?: string | RegExp;
  lane?: Lane;
  /** The transport that took it; nothing that is queued has one. */
  transport?: string;
  /** The mail class it comes from, or its `@Mail` name. */
  mail?: MailClass | string;
  /** The template it comes from. */
  template?: string;
  /** It has files of these names. */
  attachments?: readonly (string | RegExp)[];
  /** A text is looked for; a pattern must match. */
  text?: string | RegExp;
  html?: string | RegExp;
}

/** What is looked for: fields, or a function that says so. */
export type Wanted<M extends OutgoingMail = OutgoingMail> = MailMatcher | ((mail: M) => boolean);

/** Everything, what is wanted, or messages of a mail class and what is wanted of them. */
export type Asked<M extends OutgoingMail> = [wanted?: Wanted<M>] | [mail: MailClass, wanted?: Wanted<M>];

/** What a message must be, one by one. */
export function queryOf<M extends OutgoingMail>(asked: Asked<M>): Wanted<M>[] {
  return asked.flatMap((one) => (one === undefined ? [] : [isMailClass(one) ? { mail: mailName(one) } : one]));
}

export function isWanted<M extends OutgoingMail>(mail: M, wanted: Wanted<M>): boolean {
  if (typeof wanted === 'function') return wanted(mail);
  return (Object.keys(wanted) as (keyof MailMatcher)[]).every((field) => {
    const check = CHECKS[field];
    // A misspelt one would let any message pass.
    if (!check) throw new TypeError(`MailFake knows no matcher ${field}; there are ${Object.keys(CHECKS).join(', ')}.`);
    return wanted[field] === undefined || check(mail, wanted);
  });
}

/** A predicate has nothing to render with. */
function isMailClass<M extends OutgoingMail>(asked: MailClass | Wanted<M>): asked is MailClass {
  return typeof asked === 'function' && (asked.prototype as { render?: unknown } | undefined)?.render !== undefined;
}

const CHECKS: { readonly [Field in keyof MailMatcher]-?: (mail: OutgoingMail, wanted: MailMatcher) => boolean } = {
  to: ({ to }, wanted) => to.some((address) => isAddress(address, wanted.to!)),
  from: ({ from }, wanted) => is(from, wanted.from!) || isAddress(/<([^>]*)>$/.exec(from)?.[1] ?? from, wanted.from!),
  subject: ({ subject }, wanted) => is(subject, wanted.subject!),
  lane: ({ lane }, wanted) => lane === wanted.lane,
  transport: (mail, wanted) => 'transport' in mail && mail.transport === wanted.transport,
  mail: ({ source }, wanted) => source?.kind === 'mail' && source.name === mailName(wanted.mail!),
  template: ({ source }, wanted) => source?.kind === 'template' && source.name === wanted.template,
  attachments: ({ attachments }, wanted) =>
    wanted.attachments!.every((name) => attachments.some(({ filename = '' }) => is(filename, name))),
  text: ({ text }, wanted) => has(text, wanted.text!),
  html: ({ html }, wanted) => has(html, wanted.html!),
};

/** One line for a person to read, with a space before it; empty for everything. */
export function describeQuery(asked: Asked<never>): string {
  return queryOf(asked).map(describe).join(' and');
}

function describe(wanted: Wanted<never>): string {
  if (typeof wanted === 'function')
    return wanted.name === '' ? ' that the predicate takes' : ` that ${wanted.name}() takes`;
  const fields = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return fields.length === 0 ? '' : ` with ${fields.map(([field, value]) => `${field} ${show(value)}`).join(', ')}`;
}

/** By which a message knows its class. @throws TypeError */
function mailName(mail: MailClass | string): string {
  if (typeof mail === 'string') return mail;
  const known = mailClassOf(mail);
  if (known) return known.name;
  throw new TypeError(`${mail.name} is no mail class. Decorate it with @Mail({ name: '…' }).`);
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.map(show).join(' and ');
  if (typeof value === 'function') return value.name;
  return value instanceof RegExp ? String(value) : JSON.stringify(value);
}

function is(value: string, wanted: string | RegExp): boolean {
  return typeof wanted === 'string' ? value === wanted : value.search(wanted) >= 0;
}

function has(value: string | undefined, wanted: string | RegExp): boolean {
  if (value === undefined) return false;
  return typeof wanted === 'string' ? value.includes(wanted) : value.search(wanted) >= 0;
}

/** The case does not count. */
export function isAddress(address: string, wanted: string | RegExp): boolean {
  return typeof wanted === 'string' ? normal(address) === normal(wanted) : address.search(wanted) >= 0;
}

function normal(address: string): string {
  return (address.includes('@') ? envelopeAddress(address) : address).toLowerCase();
}
