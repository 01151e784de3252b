import { UnsubscribeLinks } from '../../feedback/unsubscribe-links.js';
import { UnsubscribeTokens } from '../../feedback/unsubscribe-token.js';
import type { Duration } from '../../message/duration.js';
import { mailtoFault, urlFault } from '../../message/unsubscribe.js';
import type { Resubscription, UnsubscribeMeans, Unsubscription } from '../unsubscribe/unsubscription.js';
import { DEFAULTS } from './defaults.js';
import { fail, type OptionReader } from './reader.js';
import { parseSecrets } from './secrets.js';

/** How readers unsubscribe from mail that has `unsubscribe`. */
export interface UnsubscribeConfig {
  /**
   * Signs and encrypts what a link says of its reader: 32 bytes or more as text, such as `openssl rand -base64 32` prints. Of a list
   * the first makes links, and all of them read them. All processes that send, and the one that serves the page, have the same.
   */
  secret: string | readonly string[];
  /** The public address of the page: `https:`, or `http://localhost`. Default: none; then a message gives it. */
  url?: string;
  /** The mailbox that takes requests by mail. Default: none. */
  mailto?: string;
  /** How long a link works, from the mail's date. Laws ask for at least 30 days. Default `'365d'`. */
  expiresAfter?: Duration;
  /**
   * Told of each request, repeated ones included, when the address is suppressed. If it fails, the reader is asked to try again
   * later. Default: none.
   */
  onUnsubscribe?: (unsubscription: Unsubscription) => unknown;
  /** Told of each request to take an unsubscription back, when that is done. As `onUnsubscribe`. Default: none. */
  onResubscribe?: (resubscription: Resubscription) => unknown;
}

/** CAN-SPAM, 16 CFR §316.5: the way to opt out works for 30 days after the mail was sent. */
const MIN_EXPIRY = 30 * 24 * 3_600_000;
const MAX_EXPIRY = 20 * 365 * 24 * 3_600_000;

/** Undefined without the option. @throws MailConfigError which never shows a secret */
export function parseUnsubscribe(parent: OptionReader): UnsubscribeMeans | undefined {
  if (parent.raw('unsubscribe') === undefined) return undefined;
  const reader = parent.section('unsubscribe');
  const secrets = parseSecrets(reader, 'secret');
  const url = reader.string('url');
  const mailto = reader.string('mailto');
  const faults = {
    url: url === undefined ? undefined : urlFault(url),
    mailto: mailto === undefined ? undefined : mailtoFault(mailto),
  };
  for (const [name, fault] of Object.entries(faults)) {
    if (fault !== undefined) fail(reader.pathOf(name), reader.raw(name), `It ${fault}.`);
  }
  const { expiresAfter } = DEFAULTS.unsubscribe;
  const tokens = new UnsubscribeTokens(secrets);
  const links = new UnsubscribeLinks(tokens, reader.duration('expiresAfter', expiresAfter, MIN_EXPIRY, MAX_EXPIRY));
  const [onUnsubscribe] = reader.functions<NonNullable<UnsubscribeConfig['onUnsubscribe']>>(
    'onUnsubscribe',
    'Give a function.',
  );
  const [onResubscribe] = reader.functions<NonNullable<UnsubscribeConfig['onResubscribe']>>(
    'onResubscribe',
    'Give a function.',
  );
  reader.end();
  const ways = { ...(url === undefined ? {} : { url }), ...(mailto === undefined ? {} : { mailto }) };
  return {
    ways,
    tokens,
    links,
    ...(onUnsubscribe ? { onUnsubscribe } : {}),
    ...(onResubscribe ? { onResubscribe } : {}),
  };
}
