import type { Lane } from '../message/message.js';
import type { TransportError } from './transport.js';

/** What an error says about the transport: nothing (`unclear`), that it answers, or that it cannot be reached. */
export function verdictOf(error: TransportError, lane: Lane): 'works' | 'unclear' | 'down' {
  const { phase, kind, replyCode, permanent, answered } = error;
  if (phase === 'queue') return 'unclear';
  // "Too many connections" or "come back later" to bulk mail says nothing about a single priority mail.
  if (lane === 'bulk' && (kind === 'busy' || replyCode === 421)) return 'unclear';
  if (replyCode === 421) return 'down';
  if (phase === 'connect' || phase === 'greeting' || phase === 'tls' || phase === 'auth') return 'down';
  // An answer that does not tell whether the message was taken, such as HTTP 500, is no sign of health.
  return (answered && kind !== 'unknown') || permanent ? 'works' : 'down';
}
