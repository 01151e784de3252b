import type { SpanAttributes, TraceContext, Tracer } from '../events/tracer.js';
import type { Lane } from '../message/message.js';
import type { CampaignReceipt } from '../queue/queueing.js';

/** What of a receipt a span tells. */
interface Receipt {
  id: string;
  status: string;
  transport?: string;
}

/**
 * Runs a `send()` in a span: of a client, which waits for the answer, or of a producer.
 *
 * @param send is given the span's place, for the message to carry
 */
export function traceSend<T extends Receipt>(
  tracer: Tracer,
  lane: Lane,
  send: (trace?: TraceContext) => Promise<T>,
): Promise<T> {
  if (!tracer.on) return send();
  const kind = lane === 'bulk' ? 'producer' : 'client';
  return tracer.span('mail send', { kind, attributes: sending(lane) }, async (span) => {
    const receipt = await send(span.context);
    const { id, status, transport } = receipt;
    span.set({ 'messaging.message.id': id, 'mail.status': status, 'mail.transport': transport });
    return receipt;
  });
}

/** The same for a `sendBulk()`. */
export function traceSendBulk(
  tracer: Tracer,
  send: (trace?: TraceContext) => Promise<CampaignReceipt>,
): Promise<CampaignReceipt> {
  if (!tracer.on) return send();
  return tracer.span('mail send', { kind: 'producer', attributes: sending('bulk') }, async (span) => {
    const receipt = await send(span.context);
    const { id, queued, duplicates, rejected } = receipt;
    span.set({
      'mail.campaign.id': id,
      'messaging.batch.message_count': queued,
      'mail.recipients.duplicate': duplicates,
      'mail.recipients.rejected': rejected,
    });
    return receipt;
  });
}

function sending(lane: Lane): SpanAttributes {
  return { 'messaging.operation.type': 'send', 'messaging.operation.name': 'send', 'mail.lane': lane };
}
