/** What became of a mail after a server had taken it, or what its reader did. */
export type FeedbackType = 'bounced' | 'complained' | 'delivered' | 'opened' | 'clicked' | 'unsubscribed';
export const FEEDBACK_TYPES: readonly FeedbackType[] = [
  'bounced',
  'complained',
  'delivered',
  'opened',
  'clicked',
  'unsubscribed',
];

/** By what a report names the mail that it is about. At least one of them. */
export interface FeedbackMatch {
  /** The id that the mail has here, from a tag, a header or the return path. */
  id?: string;
  /** The provider's own. */
  providerId?: string;
  /** The Message-ID header's value, angle brackets included. */
  messageId?: string;
}

/** One report about one recipient, in the same shape wherever it comes from. */
export interface Feedback {
  /** The same report has the same key, however often it is handed over. */
  key: string;
  type: FeedbackType;
  /** Who reports, such as `ses`, `postmark`, `dsn`. */
  source: string;
  /** The recipient. */
  address: string;
  at: Date;
  match: FeedbackMatch;
  /** Of a bounce: nothing more will arrive at this address. */
  permanent?: boolean;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  /** The server's words. */
  reply?: string;
  /** Of a click. */
  url?: string;
  /** Of an unsubscription: the list that is left. Default: that of the mail's campaign, or all bulk mail. */
  list?: string;
}
