import { MailDeliveryError, type DeliveryAttempt } from '../errors.js';
import type { Lane } from '../message/message.js';
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
 * @throws MailDeliveryError with every attempt; its cause is the last TransportError
 */
export async function deliver(
  outgoing: Outgoing,
  route: readonly Transport[],
  options: DeliverOptions,
): Promise<Delivery> {
  const attempts: DeliveryAttempt[] = [];
  let failure: TransportError | undefined;
  for (const transport of route) {
    const started = performance.now();
    try {
      const acceptance = await transport.send(outgoing, { lane: options.lane, signal: options.signal });
      return { ...acceptance, transport: transport.name };
    } catch (error) {
      failure = asTransportError(transport.name, error);
      attempts.push(attemptOf(transport.name, failure, performance.now() - started));
      if (failure.outcome === 'unknown' || failure.permanent || options.signal.aborted) break;
    }
  }
  throw new MailDeliveryError(options.id, attempts, { cause: failure });
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
