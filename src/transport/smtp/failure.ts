import type { NodemailerError } from 'nodemailer';
import { reasonOf, type Phase } from '../../errors.js';
import { oneLine } from '../../message/text.js';
import { classify, isPermanent, scopeOf } from '../classify.js';
import { TransportError, type FailureKind, type Rejection } from '../transport.js';

/** How far the session had come when the error was raised. */
export interface Progress {
  phase: Extract<Phase, 'connect' | 'auth' | 'mail' | 'body'>;
  /** How many the message was to go to. Default 1. */
  recipients?: number;
  /** The body has begun, and its end has not been written. */
  unfinished?: boolean;
}

/** Turns nodemailer's error into what the lanes decide by: phase, outcome, kind, permanence and whose failure it is. */
export function transportError(transport: string, error: unknown, progress: Progress): TransportError {
  const { recipients } = progress;
  const refused = (error as { rejectedErrors?: NodemailerError[] }).rejectedErrors ?? [];
  const rejections = refused.map((one) => rejectionOf(one, recipients));
  const phase = phaseOf(error, progress);
  // All are put off as long as one of them is: the message may be worth another try.
  const { kind, reply, replyCode, enhancedCode } =
    rejections.find(({ permanent }) => !permanent) ?? rejections.at(-1) ?? toldBy(error, phase, progress);
  return new TransportError(transport, {
    phase,
    outcome: kind === 'unknown' ? 'unknown' : 'not-sent',
    scope: scopeOf(kind, phase),
    permanent: isPermanent(kind),
    kind,
    reply,
    ...(replyCode === undefined ? {} : { replyCode }),
    ...(enhancedCode === undefined ? {} : { enhancedCode }),
    ...(rejections.length > 0 ? { rejections } : {}),
    cause: error,
  });
}

/** @param recipients how many the message was to go to */
export function rejectionOf(
  error: NodemailerError & { recipient?: string },
  recipients?: number,
): Rejection & { kind: FailureKind } {
  const told = toldBy(error, 'rcpt', recipients === undefined ? {} : { recipients });
  return { address: error.recipient ?? '', ...told, permanent: isPermanent(told.kind) };
}

interface Told {
  kind: FailureKind;
  reply: string;
  replyCode?: number;
  enhancedCode?: string;
}

function toldBy(
  error: unknown,
  phase: Phase,
  { recipients = 1, unfinished = false }: Pick<Progress, 'recipients' | 'unfinished'>,
): Told {
  const { responseCode: code = 0, response, code: errorCode } = error as Partial<NodemailerError>;
  // Anything else says that the two are out of step, and nothing about the message.
  const answered = code >= 400 && code < 600;
  const reply = oneLine(answered && response ? response : reasonOf(error));
  const codes = { ...(answered ? { replyCode: code } : {}), ...enhancedCodeOf(reply) };
  const kind = classify({ phase, text: reply, recipients, unfinished, ...codes, ...(errorCode ? { errorCode } : {}) });
  return { kind, reply, ...codes };
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

/** After the reply code; qmail puts it in brackets behind a hash sign, at the end. */
const ENHANCED_CODE = /^\d{3}[ -]#?([245]\.\d{1,3}\.\d{1,3})\b|^\d{3} .*\(#([245]\.\d\.\d{1,3})\)$/;

/** The enhanced status code of a reply in one line. */
export function enhancedCodeOf(reply: string): { enhancedCode?: string } {
  const [, first, last] = ENHANCED_CODE.exec(reply) ?? [];
  const enhancedCode = first ?? last;
  return enhancedCode === undefined ? {} : { enhancedCode };
}
