import type { Phase } from '../errors.js';
import type { FailureKind, FailureScope } from './transport.js';

/** What came instead of a message's acceptance. */
export interface Answer {
  phase: Phase;
  /** RFC 5321 reply code, 400 to 599; none when no answer came, or none that SMTP knows. */
  replyCode?: number;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  /** The reply in one line, its codes included, or the socket's error. */
  text: string;
  /** nodemailer's or Node.js's, such as `EMESSAGE` or `ECONNRESET`. */
  errorCode?: string;
  /** How many the message was to go to. Default 1. */
  recipients?: number;
  /** Its body had begun and not ended. Default false. */
  unfinished?: boolean;
}

/** A row of the table: what all of its conditions hold for is of this kind. */
export interface Rule {
  phases?: readonly Phase[];
  /** Of the reply code; `''` when there is none. */
  code?: RegExp;
  /** Of the enhanced status code without its class, such as `2.1`, which says whose failure it is; `''` when there is none. */
  subject?: RegExp;
  text?: RegExp;
  errorCode?: RegExp;
  /** Whether the message had one recipient. */
  sole?: boolean;
  /** Only of a body that had not ended. */
  unfinished?: true;
  kind: FailureKind;
}

/** Nothing was said about any message yet. */
const OPENING: readonly Phase[] = ['queue', 'connect', 'greeting', 'tls', 'auth'];
const RCPT: readonly Phase[] = ['rcpt'];
const TAKING: readonly Phase[] = ['data', 'final'];
/** A recipient was named. */
const NAMED: readonly Phase[] = ['rcpt', 'data', 'final'];

/**
 * What says so itself, and what two servers say that do not: rspamd, and OpenBSD's spamd. "Try again later" in any other
 * sentence is said of load just as well.
 */
const GREYLISTING = new RegExp(
  [
    'gr[ea]y[- ]?list',
    'not yet authori[sz]ed to deliver',
    '^45[01] 4\\.7\\.1 (please )?try again later\\.?$',
    '^451 temporary failure, please try again later\\.?$',
  ].join('|'),
  'i',
);

const ADDRESS = /<?[^\s<>]+@[^\s<>]+>?/g;

/** The sender's quota or rate, never a mailbox's. */
const SENDING_LIMIT = new RegExp(
  [
    'throttl',
    'rate[- ]limit',
    '\\b(sending|submission|outgoing|outbound|relay|daily|hourly)\\b[^.]*\\b(limits?|quota)\\b',
    '\\b(per|this) (second|minute|hour|day|month)\\b',
    'too many (e-?mails|messages|connections)',
    'too frequent connects',
    'SubmissionQuotaExceeded',
  ].join('|'),
  'i',
);

/** This address or account is blocked: every message would be answered so, and none is to blame. */
const BLOCKED = new RegExp(
  [
    '\\b(client( host| address)? \\[|(your|sending) (server )?ip\\b)[^;]*\\b(blocked|banned|blacklisted|listed)\\b',
    'client host rejected',
    '\\bbanned (sending ip\\b|sender ?\\[)',
    'connections (will )?not (be )?accepted from',
    'part of (their|your) network is on our block ?list',
    'sending (has been |is )?(paused|suspended|disabled)',
    'bad outbound sender',
    'email address is not verified',
  ].join('|'),
  'i',
);

const RECIPIENT_LIMIT = /receiving mail (too quickly|at a rate)|recipient thread limit/i;
const RELAYING = /relay(ing)? (access )?(denied|not permitted)/i;
const RECIPIENT_CHECK = /recipient verif/i;
const TOO_MANY_RECIPIENTS = /too many recipients/i;
const SENDER = /\bsender( address)? (is )?(rejected|refused|denied|unauthorized|verify failed)/i;
const SUBMISSION = /storedrv\.submission/i;
const NO_MAILBOX = new RegExp(
  [
    "\\b(user|recipient|mailbox)\\b[^.]* (unknown|not found|does(n't| not) exist|unavailable|disabled|full|over quota)",
    '\\b(no such|unknown|invalid) (user|recipient|mailbox)',
    "doesn't have an? \\S+ account",
    'exceeded storage allocation|quota exceeded',
  ].join('|'),
  'i',
);

/**
 * The table of docs/failures.md: the first row that fits decides. What is `busy` slows a whole transport and what is `down`
 * stops it, with no attempt spent, so that an answer which one message or address can provoke should be neither.
 */
export const RULES: readonly Rule[] = [
  // RFC 5321 §3.8: the service is closing, whatever it was asked.
  { code: /^421$/, kind: 'busy' },
  { phases: OPENING, code: /^4/, kind: 'busy' },
  { phases: OPENING, kind: 'down' },
  // Bad sequence of commands; TLS (RFC 3207 §4) or login (RFC 4954 §6, RFC 5248) missing or refused: this session's trouble.
  { code: /^5(03|23|25|30|34|35|38)$/, kind: 'down' },

  // Sending limits come as 5xx too, and under codes that are about mailboxes: Gmail's 450 4.2.1 and 550 5.4.5.
  { code: /^4/, text: GREYLISTING, kind: 'greylisted' },
  { code: /^[45]/, subject: /^(?!1\.|2\.2$)/, text: SENDING_LIMIT, kind: 'busy' },
  { code: /^5/, text: BLOCKED, kind: 'down' },
  // RFC 5321 §4.5.3.1.10: 552 to one recipient too many is to be taken for 452.
  { phases: RCPT, code: /^[45]52$/, text: TOO_MANY_RECIPIENTS, sole: false, kind: 'recipient-deferred' },
  // A first recipient is none too many: its sender has had too many.
  { phases: RCPT, code: /^[45]52$/, subject: /^$/, text: TOO_MANY_RECIPIENTS, kind: 'busy' },

  // 4xx about an address (the sender's, at MAIL), a mailbox, the way to it, or this message's content.
  { code: /^4/, subject: /^1\./, kind: 'recipient-deferred' },
  { phases: RCPT, code: /^450$/, subject: /^2\.0$/, kind: 'greylisted' },
  { phases: NAMED, code: /^4/, subject: /^2\./, kind: 'recipient-deferred' },
  { phases: NAMED, code: /^4/, text: RECIPIENT_LIMIT, kind: 'recipient-deferred' },
  { phases: RCPT, code: /^4/, subject: /^5\.3$/, kind: 'recipient-deferred' },
  { phases: NAMED, code: /^4/, subject: /^4\.[146]$/, kind: 'recipient-deferred' },
  { phases: NAMED, code: /^4/, text: RELAYING, kind: 'recipient-deferred' },
  { phases: NAMED, code: /^4/, text: RECIPIENT_CHECK, kind: 'recipient-deferred' },
  { phases: TAKING, code: /^4/, subject: /^6\./, kind: 'recipient-deferred' },
  // The server's own state, its network, or a policy, which is mostly a rate.
  { code: /^4/, subject: /^[347]\./, kind: 'busy' },
  { code: /^(432|451|452|454)$/, kind: 'busy' },
  { phases: ['mail'], code: /^4/, kind: 'busy' },
  { code: /^4/, kind: 'recipient-deferred' },

  { code: /^5/, subject: /^(3\.4|2\.3|6\.)/, kind: 'message-refused' },
  // x.1.7 and x.1.8 are about the sender, and are said at RCPT by servers that wait for it.
  { code: /^5/, subject: /^1\.[78]$/, kind: 'message-refused' },
  { phases: ['mail'], code: /^5/, kind: 'message-refused' },
  { phases: RCPT, code: /^5/, text: SENDER, kind: 'message-refused' },
  { phases: RCPT, code: /^5/, kind: 'recipient-refused' },
  // Exchange Online refuses what it takes for spam with a code about mailboxes.
  { phases: TAKING, code: /^5/, text: SUBMISSION, kind: 'message-refused' },
  // Of several recipients it says not which.
  { phases: TAKING, code: /^5/, subject: /^[12]\./, sole: true, kind: 'recipient-refused' },
  { phases: TAKING, code: /^5/, subject: /^$|^[05]\.0$/, text: NO_MAILBOX, sole: true, kind: 'recipient-refused' },
  { code: /^5/, kind: 'message-refused' },

  // No reply. The message is larger than the server announced to take (RFC 1870), or has no envelope to go by.
  { phases: ['mail'], errorCode: /^EMESSAGE$/, kind: 'message-refused' },
  // Nobody can have taken what has no end (RFC 5321 §4.1.1.4). Some servers hang up on what is too large, so it costs an attempt.
  { phases: ['body'], unfinished: true, kind: 'recipient-deferred' },
  { phases: ['body', 'final'], kind: 'unknown' },
  { kind: 'down' },
];

/** What a failure means. Never throws. */
export function classify(answer: Answer): FailureKind {
  return ruleFor(answer).kind;
}

/** The row of the table that decides. */
export function ruleFor({
  phase,
  replyCode,
  enhancedCode,
  text,
  errorCode = '',
  recipients = 1,
  unfinished,
}: Answer): Rule {
  const code = replyCode === undefined ? '' : String(replyCode);
  const subject = enhancedCode?.slice(2) ?? '';
  // Somebody may be called daily-limits@.
  const words = text.replace(ADDRESS, ' ');
  // The last row fits everything.
  return RULES.find(
    (rule) =>
      (rule.phases?.includes(phase) ?? true) &&
      (rule.code?.test(code) ?? true) &&
      (rule.subject?.test(subject) ?? true) &&
      (rule.text?.test(words) ?? true) &&
      (rule.errorCode?.test(errorCode) ?? true) &&
      (!rule.unfinished || unfinished === true) &&
      (rule.sole ?? recipients === 1) === (recipients === 1),
  )!;
}

/** What the API of a provider answered in place of a message's acceptance. */
export interface ProviderAnswer {
  /** The error's name, such as `TooManyRequestsException`; empty where the provider has none. */
  name: string;
  /** Of HTTP. */
  status: number;
  /** The provider's words, in one line. */
  text: string;
  /** How many the message was to go to. Default 1. */
  recipients?: number;
}

/** A row of the providers' table: what all of its conditions hold for is of this kind. */
export interface ProviderRule {
  name?: RegExp;
  status?: RegExp;
  text?: RegExp;
  /** Whether the message had one recipient. */
  sole?: boolean;
  /**
   * What in SMTP would have been said there: `greeting`, the account gets nothing; `auth`, its login or configuration is no good;
   * `mail`, the sender is not allowed; `rcpt`, the recipient. What the first two say, no message has provoked.
   */
  phase: Extract<Phase, 'greeting' | 'auth' | 'mail' | 'rcpt' | 'final'>;
  kind: FailureKind;
}

/** Amazon's names, of its services and of its SDK's own errors about credentials. */
const AWS_LOGIN = new RegExp(
  [
    '^(UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|InvalidToken|ExpiredToken|InvalidSignature)',
    '^(SignatureDoesNotMatch|IncompleteSignature|MissingAuthenticationToken|OptInRequired|NotAuthorized)',
    '^(RequestExpired|RequestTimeTooSkewed|CredentialsProvider|TokenProvider)',
  ].join('|'),
);

/** What Resend, Postmark and SendGrid say of an address that is none. */
const RECIPIENT_FIELD = /\binvalid [`'"]?(to|cc|bcc)\b|parsing '(to|cc|bcc)'|personalizations\.\d+\.(to|cc|bcc)\b/i;

/**
 * The same table for providers with an API, whose errors have names or an HTTP status. Words stand first: one name is said
 * for several reasons.
 */
export const PROVIDER_RULES: readonly ProviderRule[] = [
  // The allowance of a day is not back in a moment, as that of a second is.
  { text: /daily (message|sending|e-?mail)s? (quota|limit)|credits exceeded/i, phase: 'greeting', kind: 'down' },
  { name: /^(daily|monthly)_quota_exceeded$/, phase: 'greeting', kind: 'down' },
  { name: /^(AccountSuspended|SendingPaused)/, phase: 'greeting', kind: 'down' },
  { name: AWS_LOGIN, phase: 'auth', kind: 'down' },
  // A configuration set that is not there.
  { name: /^NotFoundException$/, phase: 'auth', kind: 'down' },
  // The sender's domain, or in the sandbox the recipient: somebody forgot to verify it, and no message is to blame.
  { name: /^(MessageRejected|MailFromDomainNotVerified)/, text: /not verified/i, phase: 'mail', kind: 'down' },
  { name: /^MailFromDomainNotVerified/, phase: 'mail', kind: 'down' },
  { status: /^403$/, text: /\bverif(y|ied)\b/i, phase: 'mail', kind: 'down' },
  // Postmark's: the sender is not confirmed; no credits, not approved yet or no more; no such stream; an address that it has given up.
  { name: /^40[01]$/, status: /^422$/, phase: 'mail', kind: 'down' },
  { name: /^4(05|12|13)$/, status: /^422$/, phase: 'greeting', kind: 'down' },
  { name: /^1235$/, status: /^422$/, phase: 'auth', kind: 'down' },
  { name: /^406$/, status: /^422$/, phase: 'rcpt', kind: 'recipient-refused' },
  // Resend's: the same mail is being taken; its key was another mail's.
  { name: /^concurrent_idempotent_requests$/, phase: 'final', kind: 'unknown' },
  { name: /^invalid_idempotent_request$/, phase: 'final', kind: 'message-refused' },
  // A policy may allow some senders.
  { name: /^AccessDenied/, phase: 'mail', kind: 'down' },
  {
    name: /^(TooManyRequests|Throttl|RequestThrottled|RequestLimitExceeded|LimitExceeded|SlowDown)/,
    phase: 'final',
    kind: 'busy',
  },
  { status: /^429$/, phase: 'final', kind: 'busy' },

  { status: /^4(00|22)$/, text: RECIPIENT_FIELD, sole: true, phase: 'rcpt', kind: 'recipient-refused' },
  { status: /^(400|413|422)$/, phase: 'final', kind: 'message-refused' },
  { status: /^(408|409|503)$/, phase: 'final', kind: 'busy' },
  // It broke over the message, maybe after it was queued, or a gateway before it has had no answer.
  { status: /^5/, phase: 'final', kind: 'unknown' },
  // It was taken, and what should tell its id cannot be read.
  { status: /^2/, phase: 'final', kind: 'unknown' },
  // What nobody has foreseen may come of this message, such as Resend's 451: it alone is put off.
  { status: /^4(?!0[1-5]$)/, phase: 'final', kind: 'down' },
  // Not allowed, moved, or something else than the API stands there.
  { phase: 'auth', kind: 'down' },
];

/** The row of the providers' table that decides. */
export function providerRuleFor({ name, status, text, recipients = 1 }: ProviderAnswer): ProviderRule {
  const words = text.replace(ADDRESS, ' ');
  // The last row fits everything.
  return PROVIDER_RULES.find(
    (rule) =>
      (rule.name?.test(name) ?? true) &&
      (rule.status?.test(String(status)) ?? true) &&
      (rule.text?.test(words) ?? true) &&
      (rule.sole ?? recipients === 1) === (recipients === 1),
  )!;
}

/** Whether no later try can cure it. */
export function isPermanent(kind: FailureKind): boolean {
  return kind === 'recipient-refused' || kind === 'message-refused';
}

/** Whose failure it is. What is said of a recipient after the envelope, or of the sender, is said of the message. */
export function scopeOf(kind: FailureKind, phase: Phase): FailureScope {
  if (kind === 'busy' || kind === 'down') return 'transport';
  if (kind === 'message-refused' || kind === 'unknown') return 'message';
  return phase === 'rcpt' ? 'recipient' : 'message';
}
