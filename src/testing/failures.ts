import { MailDeliveryError, type Phase } from '../errors.js';
import { classify, isPermanent, scopeOf } from '../transport/classify.js';
import { enhancedCodeOf, transportError, type Progress } from '../transport/smtp/failure.js';
import { TransportError } from '../transport/transport.js';

/** What a mail server answers instead of taking a message, or what became of the connection. */
export interface FailedReply {
  /** RFC 5321 reply code, such as 550; without one no answer came. */
  replyCode?: number;
  /** The server's words, such as `5.1.1 No such user`. */
  reply: string;
  /** Where in the conversation. Default `'rcpt'`; without a reply code `'connect'`. `'body'` leaves open whether it was sent. */
  phase?: Exclude<Phase, 'queue'>;
}

/** How the next message fails: as a server answers, as an error of the socket, or as an attempt that another mail has had. */
export type Failure = FailedReply | Error;

/** The failure as the transport of this name would have met it. */
export function failureAt(transport: string, failure: Failure, recipients: readonly string[]): TransportError {
  if (failure instanceof TransportError) return failure;
  if (failure instanceof MailDeliveryError) return repeated(transport, failure, recipients.length);
  if (failure instanceof Error) return transportError(transport, failure, { phase: 'connect' });
  const { phase = failure.replyCode === undefined ? 'connect' : 'rcpt' } = failure;
  const answer = answerOf(failure, phase);
  const rejectedErrors = phase === 'rcpt' ? recipients.map((recipient) => ({ ...answer, recipient })) : undefined;
  const error = Object.assign(new Error(failure.reply), answer, rejectedErrors ? { rejectedErrors } : {});
  return transportError(transport, error, { phase: PROGRESS[phase], recipients: recipients.length });
}

/** How far nodemailer's errors say the conversation had come. */
const PROGRESS: Record<Exclude<Phase, 'queue'>, Progress['phase']> = {
  connect: 'connect',
  greeting: 'connect',
  tls: 'connect',
  auth: 'auth',
  mail: 'mail',
  rcpt: 'mail',
  data: 'mail',
  body: 'body',
  final: 'body',
};

/** In nodemailer's words. */
function answerOf({ replyCode, reply }: FailedReply, phase: Phase): Record<string, unknown> {
  const codes: Partial<Record<Phase, string>> = { tls: 'ETLS', auth: 'EAUTH' };
  const commands: Partial<Record<Phase, string>> = { rcpt: 'RCPT TO', data: 'DATA' };
  return {
    ...(codes[phase] ? { code: codes[phase] } : {}),
    ...(commands[phase] ? { command: commands[phase] } : {}),
    ...(replyCode === undefined
      ? {}
      : { responseCode: replyCode, response: reply.startsWith(String(replyCode)) ? reply : `${replyCode} ${reply}` }),
  };
}

/** What its last attempt has met, or what it says of itself. */
function repeated(transport: string, error: MailDeliveryError, recipients: number): TransportError {
  const {
    phase = 'final',
    outcome,
    permanent,
    reply,
    replyCode,
  } = error.attempts.at(-1) ?? {
    outcome: error.outcome,
    permanent: error.permanent,
    reply: error.message,
  };
  const codes = { ...(replyCode === undefined ? {} : { replyCode }), ...enhancedCodeOf(reply) };
  const kind = classify({ phase, text: reply, recipients, ...codes });
  const fits = isPermanent(kind) === permanent && (kind === 'unknown') === (outcome === 'unknown');
  return new TransportError(transport, {
    phase,
    outcome,
    permanent,
    reply,
    ...codes,
    ...(fits ? { kind, scope: scopeOf(kind, phase) } : { scope: 'message' }),
    cause: error,
  });
}
