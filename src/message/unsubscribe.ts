import type { Fault } from '../errors.js';
import { asciiDomain, domainOf, isMailAddress } from './address.js';

/** How the reader of a mail unsubscribes. What is not given is as the module's option `unsubscribe` says. */
export interface UnsubscribeWays {
  /**
   * The public address of the page that `MailUnsubscribeModule` serves: `https:`, or `http://localhost` while you develop. Each
   * link to it has a token of its own as `token` in its query. At most 300 characters.
   */
  url?: string;
  /** The mailbox that takes requests by mail; the subject of one has the token. */
  mailto?: string;
  /** Mail programs may unsubscribe their reader by a POST to `url`, without a page (RFC 8058). Default true where there is a `url`. */
  oneClick?: boolean;
}

/** True: as the module's option `unsubscribe` says. False: not at all. */
export type UnsubscribeInput = boolean | UnsubscribeWays;

/** The same, checked: ASCII, and nothing that could end a header or a URL. */
export interface UnsubscribeSettings {
  url?: string;
  mailto?: string;
  oneClick: boolean;
}

/** RFC 5322 §2.1.1 ends a line after 998 octets, and a URL that is broken leads nowhere: the token takes the rest. */
const MAX_URL = 300;
const FIELDS = ['url', 'mailto', 'oneClick'];

/** What is wrong with it by itself. */
export function unsubscribeFaults(value: unknown, path: string): Fault[] {
  if (typeof value === 'boolean') return [];
  if (typeof value !== 'object' || value === null) {
    return [{ path, message: 'must be true, false or { url, mailto, oneClick }' }];
  }
  const { url, mailto, oneClick } = value as Record<string, unknown>;
  const fault = (field: string, message: string | undefined): Fault[] =>
    message === undefined ? [] : [{ path: `${path}.${field}`, message }];
  return [
    ...(url === undefined ? [] : fault('url', urlFault(url))),
    ...(mailto === undefined ? [] : fault('mailto', mailtoFault(mailto))),
    ...(oneClick === undefined || typeof oneClick === 'boolean' ? [] : fault('oneClick', 'must be true or false')),
    ...Object.keys(value)
      .filter((field) => !FIELDS.includes(field))
      .flatMap((field) => fault(field, 'is not a known field')),
  ];
}

/** Of what has no faults. Undefined: nothing is written. */
export function unsubscribeSettings(
  input: UnsubscribeInput | undefined,
  defaults: UnsubscribeWays,
  faults: Fault[],
): UnsubscribeSettings | undefined {
  if (input === undefined || input === false) return undefined;
  const { url, mailto, oneClick = url !== undefined } = { ...defaults, ...(input === true ? {} : input) };
  if (url === undefined && mailto === undefined) {
    const message = "has neither url nor mailto, and the module's option unsubscribe has none either; give one of them";
    faults.push({ path: 'unsubscribe', message });
  } else if (oneClick && url === undefined) {
    faults.push({ path: 'unsubscribe.oneClick', message: 'is a POST to url (RFC 8058); give url as well' });
  }
  return {
    ...(url === undefined ? {} : { url: new URL(url).href }),
    ...(mailto === undefined ? {} : { mailto: mailtoUri(mailto) }),
    oneClick,
  };
}

/** Why it cannot be the address of the page. */
export function urlFault(url: unknown): string | undefined {
  const remedy = "such as 'https://shop.example/unsubscribe'";
  if (typeof url !== 'string') return `must be a URL ${remedy}`;
  // The parser of URLs would pass over some of these.
  if (/[\0- <>"{}\x7f]/.test(url))
    return 'must not contain white space, control characters, merge fields or any of <>"{}';
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed) return `must be a URL ${remedy}`;
  const isHere = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(parsed.hostname);
  if (parsed.protocol !== 'https:' && !(parsed.protocol === 'http:' && isHere)) {
    return 'must begin with https:// (RFC 8058 §3.1), but for localhost';
  }
  if (parsed.username !== '' || parsed.password !== '') return 'must not contain a login';
  if (parsed.hash !== '') return 'must not contain a #fragment, which is never sent to the server';
  if (parsed.searchParams.has('token')) return 'must not have a token in its query: that is what is added';
  if (parsed.href.length > MAX_URL) return `must not be longer than ${MAX_URL} characters`;
  return undefined;
}

/** Why it cannot be the mailbox of requests. */
export function mailtoFault(mailto: unknown): string | undefined {
  if (!isMailAddress(mailto) || mailto.length > 254) return "must be an address such as 'unsubscribe@shop.example'";
  const local = mailto.slice(0, mailto.lastIndexOf('@'));
  // A URI has no other letters (RFC 6068 §2), and some mail programs take no escaped ones.
  return /^[!-~]+$/.test(local) ? undefined : 'must have a local part in ASCII';
}

function mailtoUri(mailto: string): string {
  const domain = domainOf(mailto);
  const local = mailto.slice(0, -domain.length - 1);
  return `mailto:${encodeURIComponent(local)}@${asciiDomain(domain) || domain}`;
}
