import type { SuppressionScope } from '../../feedback/suppression.js';
import type { UnsubscribeLinks } from '../../feedback/unsubscribe-links.js';
import type { UnsubscribeTokens } from '../../feedback/unsubscribe-token.js';
import type { UnsubscribeWays } from '../../message/unsubscribe.js';

/** A mail program's POST, the button of a page, or a mail to the `mailto` address. */
export type UnsubscriptionWay = 'one-click' | 'page' | 'mail';

/** A reader has unsubscribed. */
export interface Unsubscription {
  address: string;
  /** What the address gets no more of: bulk mail, or one list. */
  scope: SuppressionScope;
  /** The campaign's `list`, where it has one. */
  list?: string;
  /** The mail whose link it was, as `status()` takes it. */
  id: string;
  via: UnsubscriptionWay;
  /** The address had unsubscribed already. */
  repeated: boolean;
}

/** A reader has taken an unsubscription back. */
export interface Resubscription {
  address: string;
  /** What the address gets again, unless it is suppressed for another reason: bulk mail, or one list. */
  scope: SuppressionScope;
  /** The campaign's `list`, where it has one. */
  list?: string;
  /** The mail whose link it was, as `status()` takes it. */
  id: string;
  /** The address was not unsubscribed any more. */
  repeated: boolean;
}

/** The module's option `unsubscribe`, checked. */
export interface UnsubscribeMeans {
  ways: UnsubscribeWays;
  tokens: UnsubscribeTokens;
  links: UnsubscribeLinks;
  onUnsubscribe?: (unsubscription: Unsubscription) => unknown;
  onResubscribe?: (resubscription: Resubscription) => unknown;
}
