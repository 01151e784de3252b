import { reasonOf } from '../../errors.js';
import { NOT_CONNECTED, providerError } from '../provider-failure.js';
import { transportError } from '../smtp/failure.js';
import { TransportError } from '../transport.js';

/** How far the message had come when the error was thrown. */
export interface Reached {
  /** How many it was to go to. */
  recipients: number;
  /** `body` as soon as that may have left. */
  point: 'connect' | 'mail' | 'body';
}

/**
 * Turns what somebody else's transport has thrown into what the lanes decide by. It is told by its shape: nodemailer's errors,
 * those of `@nestjs/mail`, of the AWS SDK, and any other that has an HTTP status.
 */
export function foreignFailure(transport: string, error: unknown, reached: Reached): TransportError {
  if (error instanceof TransportError) return error;
  const told = (error ?? {}) as Partial<Told>;
  // It was thrown before anything was sent, and its status is made up.
  if (told.name === 'MailMessageError') return malformed(transport, error);
  const { recipients, point } = reached;
  const reply = smtpReply(told);
  if (reply) return transportError(transport, reply, { phase: pointOf(reply), recipients });
  const status = statusOf(told);
  if (status !== undefined) return answered(transport, error, status, recipients);
  const thrown = error instanceof Error ? error : new Error(reasonOf(error), { cause: error });
  if (neverConnected(thrown)) return transportError(transport, thrown, { phase: 'connect' });
  return transportError(transport, thrown, { phase: point, recipients });
}

/** What errors have that tell something. */
interface Told {
  name: string;
  message: string;
  code: unknown;
  /** nodemailer. */
  responseCode: number;
  /** nodemailer, and MailSmtpError. */
  command: string;
  response: unknown;
  /** MailSmtpError. */
  enhancedCode: string;
  /** MailRecipientsRejectedError. */
  rejected: readonly { address: string; code: number; enhancedCode?: string; response: string }[];
  /** MailTimeoutError. */
  phase: string;
  permanent: boolean;
  /** MailProviderError. */
  providerCode: string;
  retryAfterMs: number;
  status: unknown;
  statusCode: unknown;
  /** AWS SDK. */
  $metadata: { httpStatusCode?: unknown };
}

/** nodemailer's commands that its errors name in other words. */
const LOGIN_CODES: Record<string, string> = { AUTH: 'EAUTH', STARTTLS: 'ETLS' };

type SmtpReply = Error & { code?: unknown; command?: string; responseCode: number };

/** An SMTP server's answer in nodemailer's words; undefined when it is none. */
function smtpReply(error: Partial<Told>): SmtpReply | undefined {
  const { code, command, response, enhancedCode, message = '' } = error;
  if (typeof error.responseCode === 'number') return error as SmtpReply;
  if (typeof code !== 'number' || typeof command !== 'string' || typeof response !== 'string') return undefined;
  const rejectedErrors = error.rejected?.map((one) => ({ recipient: one.address, ...replyOf(one) }));
  const login = LOGIN_CODES[command];
  return Object.assign(new Error(message, { cause: error }), {
    ...replyOf({ code, response, ...(enhancedCode ? { enhancedCode } : {}) }),
    command,
    ...(login ? { code: login } : {}),
    ...(rejectedErrors ? { rejectedErrors } : {}),
  });
}

const GREETING = /^(CONN|greeting|EHLO|HELO|LHLO)$/;

/** Where in the conversation it was said. */
function pointOf({ code, command = '' }: SmtpReply): 'connect' | 'mail' | 'body' {
  if (GREETING.test(command) || LOGIN.test(String(code))) return 'connect';
  return code === 'EMESSAGE' ? 'body' : 'mail';
}

/** nodemailer's codes of what came before any message. */
const LOGIN = /^E(AUTH|NOAUTH|OAUTH2|TLS|REQUIRETLS|DNS|PROXY|CONFIG)$/;

function replyOf(reply: { code: number; enhancedCode?: string; response: string }) {
  const { code, enhancedCode, response } = reply;
  return { responseCode: code, response: [code, enhancedCode, response].filter(Boolean).join(' ') };
}

function statusOf({ code, status, statusCode, $metadata, response }: Partial<Told>): number | undefined {
  const { status: answered } = (typeof response === 'object' && response !== null ? response : {}) as Partial<Told>;
  return [status, statusCode, $metadata?.httpStatusCode, answered, code].find(isStatus);
}

function isStatus(value: unknown): value is number {
  return typeof value === 'number' && value >= 300 && value < 600;
}

function answered(transport: string, error: unknown, status: number, recipients: number): TransportError {
  const { providerCode = '', $metadata, name = '', retryAfterMs } = (error ?? {}) as Partial<Told>;
  const answer = { name: $metadata ? name : providerCode, status, text: wordsOf(error), recipients };
  const retryAfter = retryAfterMs === undefined ? undefined : String(Math.ceil(retryAfterMs / 1_000));
  return providerError(transport, answer, { retryAfter, cause: error });
}

/** The provider's own, of those that `@nestjs/mail` puts them in. */
function wordsOf(error: unknown): string {
  return reasonOf(error).replace(/^\w+ refused the message with \d{3}( [\w.-]+)?(: |$)/, '');
}

function malformed(transport: string, error: unknown): TransportError {
  return new TransportError(transport, {
    phase: 'mail',
    outcome: 'not-sent',
    scope: 'message',
    permanent: true,
    kind: 'message-refused',
    reply: reasonOf(error),
    cause: error,
  });
}

const CONNECTING = /^(connect|getaddrinfo|queryA|queryAaaa)$/;

/** There was no connection that a body could have left over. */
function neverConnected(error: unknown): boolean {
  for (let depth = 0, one = error; one instanceof Error && depth < 5; depth++, one = one.cause) {
    if (one instanceof AggregateError) return one.errors.length > 0 && one.errors.every(neverConnected);
    const { code = '', syscall = '' } = one as NodeJS.ErrnoException;
    if (NOT_CONNECTED.test(code) || LOGIN.test(code) || CONNECTING.test(syscall)) return true;
    if (/before secure TLS connection was established/.test(one.message)) return true;
    const { name, phase = '', permanent, timeoutType = '' } = one as Partial<Told> & { timeoutType?: string };
    // Of @nestjs/mail: a server without what is required of it, and a time-out before the message itself.
    if (name === 'MailConnectionError' && permanent) return true;
    if (name === 'MailTimeoutError' && phase !== 'data' && phase !== 'request') return true;
    // Of nodemailer.
    if (/^(CONNECT|GREETING|UPGRADE)_/.test(timeoutType)) return true;
  }
  return false;
}
