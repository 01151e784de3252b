/** What a report says of why a mail did not arrive. */
export interface BounceCause {
  /** RFC 3463 enhanced status code. */
  status?: string;
  /** The server's words. */
  diagnostic?: string;
}

interface Row {
  /** Of the enhanced status code without its class; `''` where there is none. */
  detail: RegExp;
  /** Of the server's words. Default: any. */
  words?: RegExp;
  permanent: boolean;
}

const NO_MAILBOX = new RegExp(
  [
    "\\b(user|recipient|mailbox|account|address)\\b[^.]*\\b(unknown|not found|does(n't| not) exist|no longer|inactive|disabled)\\b",
    '\\b(no such|unknown|invalid|unrouteable|non-?existent) (\\w+ )?(user|recipient|mailbox|account|address|person)',
    "doesn't have an? \\S+ account",
    'recipient address rejected: access denied',
  ].join('|'),
  'i',
);
const NO_DOMAIN = /\b(host|domain)( name)? (unknown|not found)|no such domain|nxdomain|unrouteable (mail )?domain/i;

/** The table of docs/feedback.md: of what failed for good, the first row that fits decides whether the address is dead. */
const TABLE: readonly Row[] = [
  // The sender's own address is refused.
  { detail: /^1\.[78]$/, permanent: false },
  { detail: /^1\./, permanent: true },
  { detail: /^2\.1$/, permanent: true },
  // Full, or the message is too large for it.
  { detail: /^2\./, permanent: false },
  // No route, as to a domain that there is not; the other is Exchange Online's.
  { detail: /^4\.(4|310)$/, permanent: true },
  // Undefined, or what Exchange Online says of a recipient that there is not.
  { detail: /^$|^0\.0$|^4\.1$/, words: NO_MAILBOX, permanent: true },
  { detail: /^$|^0\.0$/, words: NO_DOMAIN, permanent: true },
  // Policy and content are about the mail, the network and the server about the moment.
  { detail: /^/, permanent: false },
];

const ENHANCED = /(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])/;

/** The code that tells most: servers that know none write 5.0.0, and quote one that does. */
export function statusOf({ status, diagnostic = '' }: BounceCause): string | undefined {
  const own = ENHANCED.exec(status ?? '')?.[0];
  if (own !== undefined && !own.endsWith('.0.0')) return own;
  return ENHANCED.exec(diagnostic)?.[0] ?? own;
}

/** Whether nothing more will arrive at the address of a mail that has failed. */
export function isPermanentBounce(cause: BounceCause): boolean {
  const status = statusOf(cause) ?? '';
  const { diagnostic = '' } = cause;
  // What was given up after days of trying may be up again.
  if (status.startsWith('4') || /^\s*(\w+\s*;\s*)?4\d\d\b/.test(diagnostic)) return false;
  const detail = status.slice(2);
  return TABLE.find((row) => row.detail.test(detail) && (row.words?.test(diagnostic) ?? true))!.permanent;
}
