import type { QueuedEvent } from '../events/events.js';
import { envelopeRecipients } from '../message/message.js';
import type { Queueable } from './batch.js';
import type { OwnBatch, Packed } from './packing.js';

/** What is told of a single message that is durably in the queue. */
export function queuedEvent(message: Queueable, { id, messageId }: Packed, own?: OwnBatch): QueuedEvent {
  const { rendering, sendAt, laneBy = 'message' } = message;
  return {
    id,
    messageId,
    lane: 'bulk',
    recipients: envelopeRecipients(message),
    laneBy: own?.urgency === 'overflow' ? 'overflow' : laneBy,
    ...(rendering ? { source: rendering.source } : {}),
    ...(sendAt === undefined ? {} : { sendAt: new Date(sendAt) }),
  };
}
