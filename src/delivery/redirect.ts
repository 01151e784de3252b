import { MailConfigError } from '../errors.js';
import {
  addressKey,
  asciiDomain,
  domainOf,
  isMailAddress,
  parseAddresses,
  type Address,
  type AddressInput,
} from '../message/address.js';
import { headerFault } from '../message/text.js';
import type { InterceptedMail } from './intercepted-mail.js';
import type { Interceptor } from './interceptors.js';

export interface RedirectOptions {
  /**
   * Recipients that get their mail all the same: those whose address matches, or whose domain is one of these (a domain
   * below it is another). Default: nobody.
   */
  keep?: RegExp | readonly string[];
  /** Put before the subject of a mail that is redirected, such as `'[staging] '`. Default: nothing. */
  subjectPrefix?: string;
}

/** Where the original recipients are told. */
const HEADERS = { to: 'X-Original-To', cc: 'X-Original-Cc', bcc: 'X-Original-Bcc' } as const;
const FIELDS = ['to', 'cc', 'bcc'] as const;
/** Of such a header; what does not fit is counted. Less than what `limits.headerBytes` allows unless it is turned down. */
const HEADER_BYTES = 7_500;

/**
 * An interceptor for systems that must not write to real people: all mail of both lanes goes to one address, campaigns
 * included. The original recipients are in the headers `X-Original-To`, `X-Original-Cc` and `X-Original-Bcc`.
 *
 * ```ts
 * MailModule.forRoot({ intercept: redirectTo('qa@shop.example', { keep: ['shop.example'] }), … })
 * ```
 *
 * @throws MailConfigError it is not one address, or an option is wrong
 */
export function redirectTo(
  address: AddressInput,
  { keep = [], subjectPrefix = '' }: RedirectOptions = {},
): Interceptor {
  const target = oneAddress(address);
  const isKept = keeper(keep);
  if (typeof subjectPrefix !== 'string' || headerFault(subjectPrefix) !== undefined) {
    throw new MailConfigError(
      "redirectTo({ subjectPrefix }) is no text for a subject. Give some, such as '[staging] '.",
    );
  }
  const own = addressKey(target.address);
  const stays = ({ address }: Address): boolean => addressKey(address) === own || isKept(address);
  return function redirectTo(mail) {
    const kept = { to: mail.to.filter(stays), cc: mail.cc.filter(stays), bcc: mail.bcc.filter(stays) };
    if (FIELDS.every((field) => kept[field].length === mail[field].length)) return undefined;
    const has = FIELDS.some((field) => kept[field].some((one) => addressKey(one.address) === own));
    return {
      ...kept,
      to: has ? kept.to : [...kept.to, target],
      subject: `${subjectPrefix}${mail.subject}`,
      headers: { ...otherHeaders(mail), ...originals(mail) },
    };
  };
}

function oneAddress(input: AddressInput): Address {
  const { addresses, faults } = parseAddresses(input, 'address');
  const [address] = addresses;
  if (address && addresses.length === 1 && faults.length === 0) return address;
  throw new MailConfigError("redirectTo() takes one address, such as 'qa@shop.example'.");
}

function keeper(keep: unknown): (address: string) => boolean {
  if (keep instanceof RegExp) {
    // With these flags one would remember where it ended.
    const pattern = new RegExp(keep.source, keep.flags.replace(/[gy]/g, ''));
    return (address) => pattern.test(address);
  }
  if (!Array.isArray(keep) || !keep.every(isDomain)) {
    throw new MailConfigError("redirectTo({ keep }) takes a RegExp, or a list of domains such as ['shop.example'].");
  }
  const domains = new Set(keep.map(plainDomain));
  return (address) => domains.has(plainDomain(domainOf(address)));
}

function isDomain(value: unknown): value is string {
  return typeof value === 'string' && isMailAddress(`x@${value}`);
}

function plainDomain(domain: string): string {
  return (asciiDomain(domain) || domain).toLowerCase();
}

function otherHeaders({ headers }: InterceptedMail): InterceptedMail['headers'] {
  const ours = new Set<string>(Object.values(HEADERS).map((name) => name.toLowerCase()));
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ours.has(name.toLowerCase())));
}

function originals(mail: InterceptedMail): Record<string, string> {
  return Object.fromEntries(
    FIELDS.filter((field) => mail[field].length > 0).map((field) => [HEADERS[field], list(mail[field])]),
  );
}

/** Addresses alone: that is who would have got it, and fits. */
function list(addresses: readonly Address[]): string {
  let text = '';
  for (const [index, { address }] of addresses.entries()) {
    const longer = text === '' ? address : `${text}, ${address}`;
    if (Buffer.byteLength(longer) > HEADER_BYTES) return `${text} and ${addresses.length - index} more`;
    text = longer;
  }
  return text;
}
