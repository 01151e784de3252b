import { MailDeliveryError, MailError } from '../errors.js';
import { NO_TRACER, type Tracer } from '../events/tracer.js';
import { messageIdHeader } from '../message/ids.js';
import { envelopeRecipients, type Message, type Travel } from '../message/message.js';
import { compose, envelopeAddress } from '../mime/compose.js';
import type { Encoded } from '../mime/encoded.js';
import type { Routes } from '../transport/route.js';
import { notAsked, TransportError, type Rejection, type Transport } from '../transport/transport.js';
import { suppressionReply } from '../feedback/suppression.js';
import { SuppressedMailError, type Suppressed } from './suppressed.js';
import { attemptOf, deliver, type Delivery } from './deliver.js';
import type { EnvelopeSenders } from './envelope-senders.js';
import type { Draft } from './interception.js';
import type { Preparation } from './preparation.js';
import { traceAttempts } from './traced.js';

/** The provider accepted the message for `accepted`. */
export interface SentReceipt {
  status: 'sent';
  id: string;
  messageId: string;
  lane: 'priority';
  transport: string;
  accepted: string[];
  /** Addresses that the server refused, or that are suppressed, while it took the others. */
  rejected: string[];
  /** What it said about each of them, or why they are suppressed. */
  rejections: Rejection[];
  /** The provider's final reply. */
  response: string;
}

/** A message that was sent: what its sender gets, and what is beside that known of its delivery. */
export interface SentNow {
  receipt: SentReceipt;
  /** What the answer means for the message's own recipients, also where an interceptor has put others in their place. */
  settled: Settled;
  /** Those of its recipients that were left out. They are in the receipt's rejections, and in neither of `settled`. */
  suppressed: Suppressed;
  delivery: Pick<Delivery, 'attempts' | 'providerId'>;
}

/** Recipients that are served, and those that are not. */
export type Settled = Pick<SentReceipt, 'accepted' | 'rejections'>;

export interface SendNowOptions {
  /** The message's. */
  id: string;
  /** Milliseconds left for all of it: encoding, connecting and every transport. */
  timeout: number;
  retryUnknown?: boolean;
  preparation?: Preparation;
  /** Default: the address in From. */
  senders?: EnvelopeSenders | undefined;
  tracer?: Tracer;
  /** Who of the recipients is not to get it. It never rejects. Default: nobody is suppressed. */
  find?: (addresses: readonly string[]) => Promise<Suppressed>;
}

const NOBODY: Suppressed = new Map();

/**
 * Sends one message while the caller waits.
 *
 * @throws MailDeliveryError; `SuppressedMailError` where all recipients are suppressed
 * @throws MailError (`RENDER`) it is to be rendered, and cannot be
 * @throws Veto | InterceptorError
 */
export async function sendNow(
  message: Message & Travel,
  routes: Routes,
  { id, timeout, retryUnknown = false, preparation, senders, tracer = NO_TRACER, find }: SendNowOptions,
): Promise<SentNow> {
  const expiry = message.expiresAt === undefined ? Infinity : message.expiresAt - Date.now();
  if (expiry <= 0) throw expired(id);
  const left = Math.max(0, Math.min(timeout, expiry));
  const late = expiry < timeout ? 'The message expired before an answer came' : 'No answer within priority.timeout';
  const deadline = performance.now() + left;
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(new Error(late)), left);
  try {
    const messageId = messageIdHeader(id, message.from.address);
    const linked = preparation?.linked(message, id) ?? message;
    const draft: Draft = { id, messageId, lane: 'priority', message: linked };
    const prepare = async (): Promise<{ whole: Message } & Encoded> => {
      const whole = preparation?.changes(linked)
        ? await within(over.signal, preparation.prepare(draft), draft)
        : linked;
      return { whole, ...(await compose(whole, { messageId, date: new Date() })) };
    };
    const own = envelopeRecipients(message);
    // All at once: asking the list takes no time of its own.
    const [route, { whole, ...encoded }, suppressed] = await Promise.all([
      routeOf(id, message.transport, routes, over.signal),
      prepare(),
      find ? unservedOf(id, own, find) : NOBODY,
    ]);
    const served = envelopeRecipients(whole).filter((address) => !suppressed.has(address));
    // An interceptor has left those alone in it.
    if (served.length === 0) throw new SuppressedMailError(id, suppressed);
    const recipients = new Map(served.map((address) => [envelopeAddress(address), address]));
    const to = [...recipients.keys()];
    const envelope = { from: senders?.of(id, to) ?? envelopeAddress(whole.from.address), to };
    const options = { id, lane: 'priority', signal: over.signal, deadline, retryUnknown } as const;
    const hops = tracer.on ? traceAttempts(tracer, route, 'priority') : route;
    const mail = { id, messageId, message: () => whole };
    const delivery = await deliver({ envelope, ...encoded, mail }, hops, options);
    const asGiven = (address: string): string => recipients.get(address) ?? address;
    const { transport, response } = delivery;
    const accepted = delivery.accepted.map(asGiven);
    const refused = delivery.rejections.map((rejection) => ({ ...rejection, address: asGiven(rejection.address) }));
    const rejections = [...refused, ...rejectionsOf(suppressed)];
    const rejected = rejections.map((rejection) => rejection.address);
    const about = { id, messageId, lane: 'priority' } as const;
    const receipt: SentReceipt = { status: 'sent', ...about, transport, accepted, rejected, rejections, response };
    const settled = settle(
      own.filter((address) => !suppressed.has(address)),
      delivery.rejections,
    );
    return { receipt, settled, suppressed, delivery };
  } catch (error) {
    const isLate = message.expiresAt !== undefined && message.expiresAt <= Date.now();
    if (isLate && error instanceof MailDeliveryError && error.outcome === 'not-sent') throw expired(id, error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Those that are not served. @throws SuppressedMailError that is all of them */
async function unservedOf(
  id: string,
  recipients: readonly string[],
  find: NonNullable<SendNowOptions['find']>,
): Promise<Suppressed> {
  const suppressed = await find(recipients);
  if (recipients.every((address) => suppressed.has(address))) throw new SuppressedMailError(id, suppressed);
  return suppressed;
}

function rejectionsOf(suppressed: Suppressed): Rejection[] {
  return Array.from(suppressed, ([address, why]) => ({ address, reply: suppressionReply(why), permanent: true }));
}

/** One that others stand in for is settled by what becomes of the message. */
function settle(recipients: readonly string[], rejections: readonly Rejection[]): Settled {
  const refusals = new Map(rejections.map((rejection) => [rejection.address, rejection]));
  const settled: Settled = { accepted: [], rejections: [] };
  for (const address of recipients) {
    const refusal = refusals.get(envelopeAddress(address));
    if (refusal) settled.rejections.push({ ...refusal, address });
    else settled.accepted.push(address);
  }
  return settled;
}

async function routeOf(
  id: string,
  forced: string | undefined,
  routes: Routes,
  signal: AbortSignal,
): Promise<readonly Transport[]> {
  const started = performance.now();
  try {
    const route = routes.for('priority', forced);
    // Finding a tenant's transport may take its source for ever.
    return await (forced === undefined ? route : Promise.race([route, abortion(forced, signal)]));
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    throw new MailDeliveryError(id, [attemptOf(error, performance.now() - started)], { cause: error });
  }
}

/** Rejects when the time is up. */
function abortion(transport: string, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(notAsked(transport, (signal.reason as Error).message, { cause: signal.reason }));
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** @throws MailError when the time is up before it is rendered, or an interceptor has answered */
async function within<T>(signal: AbortSignal, work: Promise<T>, { id, message: { rendering } }: Draft): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    const abort = (): void => {
      const { message } = signal.reason as Error;
      const [what, code] = rendering ? ['rendered', 'RENDER'] : ['intercepted', 'INTERCEPTOR'];
      reject(new MailError(`The mail was not ${what} in time: ${message}`, { permanent: false, code, id }));
    };
    signal.addEventListener('abort', abort, { once: true });
  });
  return Promise.race([work, late]);
}

function expired(id: string, failure?: MailDeliveryError): MailDeliveryError {
  return new MailDeliveryError(id, failure?.attempts ?? [], {
    message: `Message ${id} expired before it could be sent`,
    code: 'EXPIRED',
    permanent: true,
    cause: failure?.cause,
  });
}
