/** What is known of a failed attempt: `not-sent` is safe to try elsewhere, `unknown` may have been accepted. */
export type Outcome = 'not-sent' | 'unknown';

export interface MailErrorOptions {
  /** True when no later try can cure it. */
  permanent: boolean;
  /** Default `not-sent`. */
  outcome?: Outcome;
  /** A stable, machine-readable reason, such as `SOURCE_FAILED`. */
  code?: string;
  cause?: unknown;
  /** The message that could not be sent. */
  id?: string;
  /** The campaign that was being queued when it happened. */
  campaignId?: string;
  /** How many recipients of that campaign are durably queued. */
  queued?: number;
}

/** The base of everything this package throws. Messages never contain a credential or a body. */
export class MailError extends Error {
  readonly permanent: boolean;
  readonly outcome: Outcome;
  declare readonly code?: string;
  /** Of the message, where one has it; what `status()` takes. */
  declare readonly id?: string;
  declare readonly campaignId?: string;
  declare readonly queued?: number;

  constructor(message: string, options: MailErrorOptions) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = new.target.name;
    this.permanent = options.permanent;
    this.outcome = options.outcome ?? 'not-sent';
    if (options.code !== undefined) this.code = options.code;
    if (options.id !== undefined) this.id = options.id;
    if (options.campaignId !== undefined) this.campaignId = options.campaignId;
    if (options.queued !== undefined) this.queued = options.queued;
  }
}

/** One thing wrong with an input, at a path such as `to[1]` or `attachments[0].filename`. */
export interface Fault {
  path: string;
  message: string;
}

/** The input is wrong; nothing was sent. `errors` lists every fault found, not only the first. */
export class MailValidationError extends MailError {
  readonly errors: readonly Fault[];

  constructor(errors: readonly Fault[], what = 'message') {
    super(`The ${what} is invalid: ${errors.map((e) => `${e.path}: ${e.message}`).join('; ')}`, {
      permanent: true,
      code: 'INVALID',
    });
    this.errors = errors;
  }
}

/** The module's options are wrong, so that the application does not boot, or they rule out what was asked for. */
export class MailConfigError extends MailError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, { permanent: true, code: 'CONFIG', ...options });
  }
}

/** The point an SMTP conversation had reached. */
export type Phase = 'queue' | 'connect' | 'greeting' | 'tls' | 'auth' | 'mail' | 'rcpt' | 'data' | 'body' | 'final';

/** One try to hand a message to one transport. */
export interface DeliveryAttempt {
  transport: string;
  phase: Phase;
  outcome: Outcome;
  permanent: boolean;
  /** RFC 5321 reply code, when the server answered. */
  replyCode?: number;
  /** RFC 3463 enhanced status code, such as `4.2.2`. */
  enhancedCode?: string;
  /** The server's own words, or the socket's error. */
  reply: string;
  /** Milliseconds. */
  duration: number;
}

/** Every transport that could be tried was tried. */
export class MailDeliveryError extends MailError {
  override readonly id: string;
  readonly attempts: readonly DeliveryAttempt[];

  /**
   * @param options.permanent default: whether the last attempt's answer was
   * @param options.outcome default: `unknown` if an attempt's was
   */
  constructor(
    id: string,
    attempts: readonly DeliveryAttempt[],
    options: { message?: string; permanent?: boolean; outcome?: Outcome; code?: string; cause?: unknown } = {},
  ) {
    const last = attempts.at(-1);
    super(options.message ?? `Message ${id} was not delivered. ${attempts.map(describeAttempt).join(' ')}`.trim(), {
      permanent: options.permanent ?? last?.permanent ?? false,
      outcome: options.outcome ?? (attempts.some((a) => a.outcome === 'unknown') ? 'unknown' : 'not-sent'),
      code: options.code ?? 'DELIVERY',
      cause: options.cause,
    });
    this.id = id;
    this.attempts = attempts;
  }
}

function describeAttempt(attempt: DeliveryAttempt): string {
  const outcome = attempt.outcome === 'unknown' ? ' (it may have been accepted)' : '';
  return `${attempt.transport} at ${attempt.phase}: ${attempt.reply.replace(/\.$/, '')}${outcome}.`;
}

/** The queue's store cannot be reached, or did not answer. The priority lane is not affected. */
export class MailQueueUnavailableError extends MailError {
  /** The messages that were to be queued. With outcome `unknown` they may have been. */
  readonly ids: readonly string[];

  constructor(
    message: string,
    options: { cause?: unknown; outcome?: Outcome; ids?: readonly string[]; campaignId?: string; queued?: number } = {},
  ) {
    const { ids = [], ...rest } = options;
    super(message, { permanent: false, code: 'QUEUE_UNAVAILABLE', ...rest });
    this.ids = ids;
  }
}

/** An error's message, whatever was thrown. An AggregateError without one (several refused connects) tells its parts. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && !error.message) return error.errors.map(reasonOf).join('; ');
  if (error instanceof Error) return error.message;
  try {
    return String(error);
  } catch {
    // Not everything has a text: an object without a prototype has none.
    return 'what was thrown has no text';
  }
}

/** A URL for a message. What comes before an `@` may hold a password, even where the URL is not one. */
export function withoutCredentials(url: string): string {
  return url.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*[:/].*@/is, '$1***@').replace(/\?.*$/s, '?…');
}
