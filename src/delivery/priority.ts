import { MailDeliveryError } from '../errors.js';
import { messageIdHeader, newId } from '../message/ids.js';
import { envelopeRecipients, type Message, type Travel } from '../message/message.js';
import { compose, envelopeAddress } from '../mime/compose.js';
import type { Routes } from '../transport/route.js';
import type { Rejection } from '../transport/transport.js';
import { deliver } from './deliver.js';

/** The provider accepted the message for `accepted`. */
export interface SentReceipt {
  status: 'sent';
  id: string;
  messageId: string;
  lane: 'priority';
  transport: string;
  accepted: string[];
  /** Addresses the server refused while it took the others. */
  rejected: string[];
  /** What it said about each of them. */
  rejections: Rejection[];
  /** The provider's final reply. */
  response: string;
}

/**
 * Sends one message while the caller waits.
 *
 * @param timeout milliseconds left for all of it: encoding, connecting and every transport
 * @throws MailDeliveryError
 */
export async function sendNow(message: Message & Travel, routes: Routes, timeout: number): Promise<SentReceipt> {
  const id = newId('p');
  const route = routes.for('priority', message.transport);
  const expiry = message.expiresAt === undefined ? Infinity : message.expiresAt - Date.now();
  if (expiry <= 0) {
    throw new MailDeliveryError(id, [], { message: `Message ${id} expired before it could be sent`, permanent: true });
  }
  const late = expiry < timeout ? 'The message expired before an answer came' : 'No answer within priority.timeout';
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(new Error(late)), Math.max(0, Math.min(timeout, expiry)));
  try {
    const messageId = messageIdHeader(id, message.from.address);
    const raw = await compose(message, { messageId, date: new Date() });
    const recipients = new Map(envelopeRecipients(message).map((address) => [envelopeAddress(address), address]));
    const envelope = { from: envelopeAddress(message.from.address), to: [...recipients.keys()] };
    const delivery = await deliver({ envelope, raw }, route, { id, lane: 'priority', signal: deadline.signal });
    const asGiven = (address: string): string => recipients.get(address) ?? address;
    const { transport, response } = delivery;
    const accepted = delivery.accepted.map(asGiven);
    const rejections = delivery.rejections.map((rejection) => ({ ...rejection, address: asGiven(rejection.address) }));
    const rejected = rejections.map((rejection) => rejection.address);
    return { status: 'sent', id, messageId, lane: 'priority', transport, accepted, rejected, rejections, response };
  } finally {
    clearTimeout(timer);
  }
}
