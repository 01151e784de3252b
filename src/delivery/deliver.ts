import { MailDeliveryError, type DeliveryAttempt } from '../errors.js';
import type { Lane } from '../message/message.js';
import { oneLine } from '../message/text.js';
import { TransportError, type Acceptance, type Outgoing, type Transport } from '../transport/transport.js';

export interface Delivery extends Acceptance {
  transport: string;
}

export interface DeliverOptions {
  id: string;
  lane: Lane;
  signal: AbortSignal;
}

/**
 * Hands one message to the first of `route` that takes it. The step in which both lanes end.
 *
 * The next transport is tried only while the outcome is `not-sent` and the answer was not a permanent one about the
 * message; an attempt whose answer never came may have been accepted, so it ends the delivery.
 *
 * @throws MailDeliveryError with every attempt; its cause is the last TransportError that says something about the
 *   message, if there is one
 */
export async function deliver(
  outgoing: Outgoing,
  route: readonly Transport[],
  options: DeliverOptions,
): Promise<Delivery> {
  const attempts: DeliveryAttempt[] = [];
  const failures: TransportError[] = [];
  for (const transport of route) {
    const started = performance.now();
    try {
      const acceptance = await transport.send(outgoing, { lane: options.lane, signal: options.signal });
      return { ...acceptance, transport: transport.name, response: oneLine(acceptance.response) };
    } catch (error) {
      const failure = asTransportError(transport.name, error);
      failures.push(failure);
      attempts.push(attemptOf(transport.name, failure, performance.now() - started));
      if (failure.outcome === 'unknown' || failure.permanent || options.signal.aborted) break;
    }
  }
  // An answer about the message tells more than the trouble of a transport that was tried after it.
  const cause = failures.findLast(({ scope }) => scope !== 'transport') ?? failures.at(-1);
  throw new MailDeliveryError(options.id, attempts, { cause });
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

function attemptOf(transport: string, failure: TransportError, duration: number): DeliveryAttempt {
  return {
    transport,
    phase: failure.phase,
    outcome: failure.outcome,
    permanent: failure.permanent,
    reply: failure.reply,
    duration: Math.round(duration),
    ...(failure.replyCode === undefined ? {} : { replyCode: failure.replyCode }),
    ...(failure.enhancedCode === undefined ? {} : { enhancedCode: failure.enhancedCode }),
  };
}
