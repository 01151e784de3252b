import { MailConfigError, MailValidationError } from '../errors.js';
import { asciiDomain, domainOf, isMailAddress, parseAddresses, type AddressInput } from './address.js';
import type { Classified, Classifier } from './classify.js';
import type { MailMessageInput } from './message.js';

/** What marks a message as bulk mail. One of them at least. */
export interface BulkMarkers {
  /** The subject begins with it, such as `'[Non-priority!]'`. The case counts. */
  subjectPrefix?: string;
  /** It is among `to`, `cc` and `bcc`, such as `'bulk@shop.example'`. The case does not count. */
  address?: string;
}

type Recipients = Pick<MailMessageInput, 'to' | 'cc' | 'bcc'>;

/**
 * A classifier for applications that mark their bulk mail inside the message: what bears a marker goes by the bulk lane, and
 * the markers are taken out. White space after the prefix goes with it. They are taken out as well where the message names its
 * lane, or something else has decided on it.
 *
 * ```ts
 * MailModule.forRoot({ classify: markedBulk({ subjectPrefix: '[Non-priority!]', address: 'bulk@shop.example' }), … })
 * ```
 *
 * @throws MailConfigError neither marker is given, or one of them is none
 */
export function markedBulk({ subjectPrefix, address }: BulkMarkers): Classifier {
  check(subjectPrefix, address);
  const marker = address === undefined ? undefined : mailbox(address);
  const strip = (message: Readonly<MailMessageInput>): MailMessageInput | undefined => {
    const subject = withoutPrefix(message.subject, subjectPrefix);
    const recipients = marker === undefined ? undefined : withoutMarker(message, marker);
    if (subject === undefined && !recipients) return undefined;
    if (recipients?.left === 0) throw nobodyLeft(address!);
    return { ...message, ...recipients?.fields, ...(subject === undefined ? {} : { subject }) };
  };
  const markedBulk = (message: Readonly<MailMessageInput>): Classified | undefined => {
    const rest = strip(message);
    return rest && { lane: 'bulk', message: rest };
  };
  return Object.assign(markedBulk, { strip });
}

function check(subjectPrefix: unknown, address: unknown): void {
  if (subjectPrefix === undefined && address === undefined) {
    throw new MailConfigError('markedBulk() has no marker. Give it a subjectPrefix, an address, or both.');
  }
  if (subjectPrefix !== undefined && (typeof subjectPrefix !== 'string' || subjectPrefix.trim() === '')) {
    throw new MailConfigError("markedBulk({ subjectPrefix }) is not text. Give some, such as '[Non-priority!]'.");
  }
  if (address !== undefined && !isMailAddress(address)) {
    throw new MailConfigError("markedBulk({ address }) is not an address. Give one, such as 'bulk@shop.example'.");
  }
}

/** Undefined when it does not begin so. */
function withoutPrefix(subject: unknown, prefix: string | undefined): string | undefined {
  if (prefix === undefined || typeof subject !== 'string' || !subject.startsWith(prefix)) return undefined;
  return subject.slice(prefix.length).trimStart();
}

/** Undefined when it is not among them. */
function withoutMarker(message: Recipients, marker: string): { fields: Recipients; left: number } | undefined {
  const fields: Recipients = {};
  let left = 0;
  for (const field of ['to', 'cc', 'bcc'] as const) {
    const given = message[field];
    const rest = entriesOf(given).map((entry) => without(entry, marker));
    left += rest.reduce((sum, { entries }) => sum + entries.length, 0);
    if (rest.some(({ marked }) => marked)) fields[field] = rest.flatMap(({ entries }) => entries);
  }
  return Object.keys(fields).length > 0 ? { fields, left } : undefined;
}

function entriesOf(given: Recipients['to']): readonly AddressInput[] {
  if (given === undefined || given === null) return [];
  return Array.isArray(given) ? (given as readonly AddressInput[]) : [given as AddressInput];
}

/** An entry is an address or a list of them. One that cannot be read stays as it is, for validation to refuse. */
function without(entry: AddressInput, marker: string): { marked: boolean; entries: AddressInput[] } {
  const { addresses, faults } = parseAddresses(entry, '');
  const entries = addresses.filter(({ address }) => mailbox(address) !== marker);
  if (faults.length > 0 || entries.length === addresses.length) return { marked: false, entries: [entry] };
  return { marked: true, entries };
}

/** Servers may tell local parts apart by their case (RFC 5321 §2.4); nobody who marks a mail does. */
function mailbox(address: string): string {
  const domain = domainOf(address);
  return `${address.slice(0, -domain.length)}${asciiDomain(domain) || domain}`.toLowerCase();
}

function nobodyLeft(address: string): MailValidationError {
  const message = `has nobody but ${address}, which marks bulk mail and is taken out; name those who are to get the mail`;
  return new MailValidationError([{ path: 'to', message }]);
}
