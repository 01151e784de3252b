import { MailDeliveryError, type DeliveryAttempt } from '../errors.js';
import type { Lane } from '../message/message.js';
import { oneLine } from '../message/text.js';
import {
  TransportError,
  type Acceptance,
  type Outgoing,
  type SendOptions,
  type Transport,
} from '../transport/transport.js';

export interface Delivery extends Acceptance {
  transport: string;
  /** Transports that were tried, this one included. */
  attempts: number;
}

/** What of a transport it takes to try it. */
export type Hop = Pick<Transport, 'name' | 'server' | 'send'>;

/** The transports to try, each looked at when it is come to. */
export type Hops = Iterable<Hop> & { readonly length: number };

export interface DeliverOptions {
  id: string;
  lane: Lane;
  signal: AbortSignal;
  /** When all must be over (`performance.now()`): each transport then gets its share of the time. Default: no limit. */
  deadline?: number;
  /** Asked again after a wait for a rate limit. */
  stillWanted?: () => boolean;
  /** Asked again right before the body leaves. */
  mayHandOver?: () => boolean;
  /** Goes on to the next transport also when the message may have been accepted. Default false. */
  retryUnknown?: boolean;
}

/**
 * Hands one message to the first of `route` that takes it. The step in which both lanes end.
 *
 * The next transport is tried only while the outcome is `not-sent` and the answer was not a permanent one about the
 * message; an attempt whose answer never came may have been accepted, so it ends the delivery. A server that hangs before
 * the message is handed over uses up its share of the time and no more; afterwards the answer is waited for to the end.
 *
 * @throws MailDeliveryError with every attempt; its cause is the last TransportError that says something about the
 *   message, if there is one
 */
export async function deliver(outgoing: Outgoing, route: Hops, options: DeliverOptions): Promise<Delivery> {
  const attempts: DeliveryAttempt[] = [];
  const failures: TransportError[] = [];
  for (const transport of route) {
    const started = performance.now();
    const attempt = attemptWithin(options, route.length - attempts.length);
    try {
      const acceptance = await transport.send(outgoing, attempt.options);
      const response = oneLine(acceptance.response);
      return { ...acceptance, transport: transport.name, response, attempts: attempts.length + 1 };
    } catch (error) {
      const failure = asTransportError(transport.name, error);
      failures.push(failure);
      attempts.push(attemptOf(failure, performance.now() - started));
      const unknown = failure.outcome === 'unknown' && !options.retryUnknown;
      // While this one was asked, the message may have become another's.
      const wanted = options.stillWanted?.() !== false && options.mayHandOver?.() !== false;
      if (unknown || failure.permanent || options.signal.aborted || !wanted) break;
    } finally {
      attempt.end();
    }
  }
  // An answer about the message tells more than the trouble of a transport that was tried after it.
  const cause = failures.findLast(({ scope }) => scope !== 'transport') ?? failures.at(-1);
  throw new MailDeliveryError(options.id, attempts, { cause });
}

/** What one attempt may take while so many transports are left, this one included. */
function attemptWithin(
  { lane, signal, deadline, stillWanted, mayHandOver, retryUnknown }: DeliverOptions,
  left: number,
): { options: SendOptions; end: () => void } {
  if (deadline === undefined) {
    const asked = { ...(stillWanted ? { stillWanted } : {}), ...(mayHandOver ? { mayHandOver } : {}) };
    return { options: { lane, signal, ...asked }, end: () => undefined };
  }
  const share = Math.max(0, (deadline - performance.now()) / left);
  // The last one's time ends with the signal, which comes first and knows why.
  if (left === 1) return { options: { lane, signal, handoverWithin: share * 1.05 }, end: () => undefined };
  if (!retryUnknown) return { options: { lane, signal, handoverWithin: share }, end: () => undefined };
  // Whoever would rather send twice than not at all needs time for the second.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`No answer within ${Math.round(share)} ms`)), share);
  return {
    options: { lane, signal: AbortSignal.any([signal, late.signal]), handoverWithin: share },
    end: () => clearTimeout(timer),
  };
}

/** A transport that throws anything else has a bug; whether the message left is then unknown. */
function asTransportError(name: string, error: unknown): TransportError {
  if (error instanceof TransportError) return error;
  return new TransportError(name, {
    phase: 'body',
    outcome: 'unknown',
    permanent: false,
    scope: 'message',
    reply: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

/** @param duration milliseconds */
export function attemptOf(failure: TransportError, duration: number): DeliveryAttempt {
  return {
    transport: failure.transport,
    phase: failure.phase,
    outcome: failure.outcome,
    permanent: failure.permanent,
    reply: failure.reply,
    duration: Math.round(duration),
    ...(failure.replyCode === undefined ? {} : { replyCode: failure.replyCode }),
    ...(failure.enhancedCode === undefined ? {} : { enhancedCode: failure.enhancedCode }),
  };
}
