import { first, readHeaderFields, type HeaderFields } from './header-fields.js';

/** What a report gives back of the mail that it is about. */
export interface ReturnedMail {
  /** Angle brackets included. */
  messageId?: string;
  /** Its envelope sender. */
  returnPath?: string;
  /** Those in its To header; reports of spam leave them out, or change them. */
  to: readonly string[];
}

export const NOTHING_RETURNED: ReturnedMail = { to: [] };

/** @param text headers, or a message */
export function readReturned(text: string): ReturnedMail {
  const fields = readHeaderFields(text);
  const messageId = /<[^<>\s]+>/.exec(first(fields, 'message-id') ?? '')?.[0];
  const [returnPath] = addressesIn(fields, ['return-path']);
  return {
    ...(messageId === undefined ? {} : { messageId }),
    ...(returnPath === undefined ? {} : { returnPath }),
    to: addressesIn(fields, ['to']),
  };
}

/** What stands between addresses. Split by it, and not searched for: a pattern of two open ends would take its time over `@@@@@`. */
const BETWEEN = /[\s<>()[\],;:"]+/;
/** Of a header with more nobody is interested in the others. */
const MAX_ADDRESSES = 50;

/** Every address in these fields. */
export function addressesIn(fields: HeaderFields, names: readonly string[]): string[] {
  const words = names.flatMap((name) => fields.get(name) ?? []).flatMap((value) => value.split(BETWEEN));
  return [...new Set(words.filter((word) => word.includes('@')))].slice(0, MAX_ADDRESSES);
}
