import type { NodemailerError } from 'nodemailer';
import { reasonOf, type Phase } from '../../errors.js';
import { oneLine } from '../../message/text.js';
import { TransportError, type FailureScope, type Rejection } from '../transport.js';

/** How far the session had come when the error was raised. */
export interface Progress {
  phase: Extract<Phase, 'connect' | 'auth' | 'mail' | 'body'>;
}

/** Turns nodemailer's error into what the lanes decide by: phase, outcome, permanence and whose failure it is. */
export function transportError(transport: string, error: unknown, progress: Progress): TransportError {
  const { responseCode, response } = error as Partial<NodemailerError>;
  const rejections = ((error as { rejectedErrors?: NodemailerError[] }).rejectedErrors ?? []).map(rejectionOf);
  const phase = phaseOf(error, progress);
  // Anything below says that the two are out of step, and nothing about the message.
  const answered = typeof responseCode === 'number' && responseCode >= 400;
  const outcome = progress.phase === 'body' && !answered ? 'unknown' : 'not-sent';
  const tooLarge = isTooLarge(error, progress);
  const scope = outcome === 'unknown' || tooLarge ? 'message' : scopeOf(phase, answered ? responseCode : undefined);
  const reply = oneLine(answered && response ? response : reasonOf(error));
  return new TransportError(transport, {
    phase,
    outcome,
    scope,
    // A 5xx about the connection or the login is about us, not about the message.
    permanent: tooLarge || (answered && scope !== 'transport' && isPermanent(responseCode)),
    reply,
    ...(answered ? { replyCode: responseCode } : {}),
    ...enhancedCodeOf(reply),
    ...(rejections.length > 0 ? { rejections } : {}),
    cause: error,
  });
}

export function rejectionOf(error: NodemailerError & { recipient?: string }): Rejection {
  const reply = oneLine(error.response ?? error.message);
  return {
    address: error.recipient ?? '',
    reply,
    permanent: isPermanent(error.responseCode ?? 0),
    ...(error.responseCode === undefined ? {} : { replyCode: error.responseCode }),
    ...enhancedCodeOf(reply),
  };
}

/** RFC 5321 §4.2.1, except for what is about the session: the message may pass in another. */
function isPermanent(code: number): boolean {
  return code >= 500 && !SESSION_CODES.has(code);
}

/** Bad sequence of commands, and login (RFC 4954 §6) or TLS (RFC 3207 §4) needed first. */
const SESSION_CODES = new Set([503, 530]);

/** nodemailer does not even offer what is larger than the SIZE the server announced (RFC 1870). */
function isTooLarge(error: unknown, progress: Progress): boolean {
  const { code, responseCode } = error as Partial<NodemailerError>;
  return progress.phase === 'mail' && code === 'EMESSAGE' && responseCode === undefined;
}

/** A certificate nobody vouches for, or no TLS where it was expected. */
const TLS_ERROR = /CERT|LEAF_SIGNATURE|INVALID_CA|^ERR_(SSL|TLS)_|^EPROTO$/;

function phaseOf(error: unknown, progress: Progress): Phase {
  const { command, code, originalCode = '', responseCode } = error as Partial<NodemailerError>;
  if (progress.phase === 'body') return responseCode === undefined ? 'body' : 'final';
  if (code === 'ETLS' || TLS_ERROR.test(originalCode)) return 'tls';
  if (code === 'EAUTH' || code === 'ENOAUTH' || code === 'EOAUTH2') return 'auth';
  if (progress.phase === 'connect') return responseCode === undefined ? 'connect' : 'greeting';
  if (command === 'RCPT TO') return 'rcpt';
  if (command === 'DATA') return 'data';
  return progress.phase;
}

function scopeOf(phase: Phase, code: number | undefined): FailureScope {
  if (code === undefined || code === 421 || SESSION_CODES.has(code)) return 'transport';
  if (phase === 'rcpt') return 'recipient';
  if (phase === 'data' || phase === 'final') return 'message';
  if (phase === 'mail') return isPermanent(code) ? 'message' : 'transport';
  return 'transport';
}

function enhancedCodeOf(reply: string): { enhancedCode?: string } {
  const match = /^\d{3}[ -]([245]\.\d{1,3}\.\d{1,3})\b/.exec(reply);
  return match ? { enhancedCode: match[1]! } : {};
}
