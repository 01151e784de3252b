import { isInstance, registerDecorator, type ValidationArguments, type ValidationOptions } from 'class-validator';
import type { Fault } from '../errors.js';
import { parseAddresses } from './address.js';
import { parseDuration } from './duration.js';
import {
  cleanObject,
  headerFault,
  isKey,
  isLocale,
  isTemplateName,
  KEY_RULE,
  LOCALE_RULE,
  TEMPLATE_RULE,
} from './text.js';
import { unsubscribeFaults } from './unsubscribe.js';

/** A check that finds any number of faults in a property's value, each at a path of its own. */
type FaultFinder = (value: unknown, path: string) => Fault[];

const FINDERS = new Map<string, FaultFinder>();

/** The faults behind a class-validator constraint of this file, or undefined for class-validator's own. */
export function faultsOf(constraint: string, value: unknown, path: string): Fault[] | undefined {
  return FINDERS.get(constraint)?.(value, path);
}

function constraint(name: string, find: FaultFinder): (options?: ValidationOptions) => PropertyDecorator {
  FINDERS.set(name, find);
  return (options) => (target, property) =>
    registerDecorator({
      name,
      target: target.constructor,
      propertyName: property as string,
      ...(options ? { options } : {}),
      validator: {
        validate: (value: unknown) => find(value, '').length === 0,
        defaultMessage: (args?: ValidationArguments) =>
          find(args?.value, args?.property ?? '')
            .map((fault) => `${fault.path} ${fault.message}`)
            .join('; '),
      },
    });
}

const one = (path: string, message: string | false | undefined): Fault[] => (message ? [{ path, message }] : []);

/** Any number of addresses, in any of nodemailer's shapes. */
export const AreAddresses = constraint('areAddresses', (value, path) => parseAddresses(value, path).faults);

/** Exactly one address. */
export const IsAddress = constraint('isAddress', (value, path) => exactlyOne(value, path, false));

/** Exactly one address, which may hold merge fields. */
export const IsSender = constraint('isSender', (value, path) => exactlyOne(value, path, true));

/** Addresses that may hold merge fields. */
export const AreReplyAddresses = constraint(
  'areReplyAddresses',
  (value, path) => parseAddresses(value, path, true).faults,
);

function exactlyOne(value: unknown, path: string, mergeable: boolean): Fault[] {
  const { addresses, faults } = parseAddresses(value, path, mergeable);
  if (faults.length > 0) return faults;
  return one(path, addresses.length !== 1 && `must be one address, found ${addresses.length}`);
}

/** Text for a header: a string without CR, LF or NUL. */
export const IsHeaderText = constraint('isHeaderText', (value, path) =>
  one(path, typeof value === 'string' ? headerFault(value) : 'must be a string'),
);

/** Text for a body: a string without NUL. */
export const IsBodyText = constraint('isBodyText', (value, path) =>
  one(path, typeof value !== 'string' ? 'must be a string' : value.includes('\0') && 'must not contain NUL'),
);

/** Milliseconds, or `'30s'`. */
export const IsDuration = constraint('isDuration', (value, path) =>
  one(path, parseDuration(value) === undefined && "must be milliseconds or a string such as '30s', '15m' or '24h'"),
);

/** A point in time: a Date, epoch milliseconds, or what `new Date()` reads. */
export const IsMoment = constraint('isMoment', (value, path) =>
  one(path, momentOf(value) === undefined && 'must be a Date, milliseconds since 1970 or an ISO 8601 string'),
);

export function momentOf(value: unknown): number | undefined {
  if (!(typeof value === 'string' || typeof value === 'number' || value instanceof Date)) return undefined;
  const time = new Date(value).getTime();
  return Number.isNaN(time) ? undefined : time;
}

/** An object that survives JSON and holds no NUL. */
export const IsContext = constraint('isContext', (value, path) => {
  const cleaned = cleanObject(value);
  return one(path, 'problem' in cleaned && cleaned.problem);
});

/** A key of the caller's choice. */
export const IsKey = constraint('isKey', (value, path) => one(path, !isKey(value) && KEY_RULE));

/** A language tag. */
export const IsLocale = constraint('isLocale', (value, path) => one(path, !isLocale(value) && LOCALE_RULE));

/** Whether and how a reader can unsubscribe. */
export const IsUnsubscribe = constraint('isUnsubscribe', unsubscribeFaults);

/** The name of a template. */
export const IsTemplateName = constraint('isTemplateName', (value, path) =>
  one(path, !isTemplateName(value) && TEMPLATE_RULE),
);

/** Attachment content: text, bytes, or a readable stream. */
export const IsAttachmentContent = constraint('isAttachmentContent', (value, path) =>
  one(
    path,
    !(typeof value === 'string' || isInstance(value, Uint8Array) || isReadable(value)) &&
      'must be a string, a Buffer or a readable stream',
  ),
);

function isReadable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** RFC 5322 §3.6.8: printable ASCII without the colon. */
const HEADER_NAME = /^[!-9;-~]{1,76}$/;
/** Written by this package from the message's own fields; a second one would contradict the envelope or the MIME tree. */
const OWN_HEADER =
  /^(from|to|cc|bcc|sender|reply-to|subject|date|message-id|mime-version|content-.*|dkim-signature|return-path|received)$/i;

/** Custom headers: `{ name: value | values }`. */
export const AreHeaders = constraint('areHeaders', (value, path) => {
  // A Map and a list of pairs have no names of their own, and would be passed over without a word.
  if (typeof value !== 'object' || value === null || Symbol.iterator in value) {
    return one(path, 'must be an object of header names and values');
  }
  return Object.entries(value).flatMap(([name, given]: [string, unknown]) => {
    const at = `${path}.${name}`;
    if (!HEADER_NAME.test(name)) return one(path, `${JSON.stringify(name)} is not a header name`);
    if (OWN_HEADER.test(name)) return one(at, 'is written from the message itself; use the field of that name');
    const values: unknown[] = Array.isArray(given) ? given : [given];
    return values.flatMap((entry, index) => {
      const where = Array.isArray(given) ? `${at}[${index}]` : at;
      return one(where, typeof entry === 'string' ? headerFault(entry) : 'must be a string');
    });
  });
});
