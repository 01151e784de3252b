import type { TraceContext, Tracer } from '../events/tracer.js';
import { messageId } from '../message/ids.js';
import type { Lane } from '../message/message.js';
import { TransportError, type Transport } from '../transport/transport.js';
import type { Delivery, Hop, Hops } from './deliver.js';

/** Puts the deliveries of a batch's messages into the traces of those who sent them. */
export class MessageTraces {
  /**
   * @param batch the span of the run that delivers them
   * @param senderOf the span in which a message was sent; undefined where that was not traced
   */
  constructor(
    private readonly tracer: Tracer,
    private readonly batch: TraceContext | undefined,
    private readonly batchId: string,
    private readonly senderOf: (index: number) => TraceContext | undefined,
  ) {}

  /** @param deliver over the transports that it is given */
  deliver(index: number, route: Hops, deliver: (route: Hops) => Promise<Delivery>): Promise<Delivery> {
    const { tracer, batch } = this;
    const parent = this.senderOf(index);
    const links = parent !== undefined && batch !== undefined ? [batch] : [];
    const attributes = { 'messaging.message.id': messageId(this.batchId, index), 'mail.lane': 'bulk' };
    return tracer.span('mail deliver', { kind: 'internal', parent, links, attributes }, async (span) => {
      const delivery = await deliver(traceAttempts(tracer, route, 'bulk'));
      span.set({ 'mail.transport': delivery.transport });
      return delivery;
    });
  }
}

/** The same transports, each of which is tried in a span of its own. */
export function traceAttempts(tracer: Tracer, route: Hops, lane: Lane): Hops {
  return {
    length: route.length,
    *[Symbol.iterator]() {
      for (const transport of route) yield traced(tracer, transport, lane);
    },
  };
}

function traced(tracer: Tracer, transport: Hop, lane: Lane): Hop {
  const { name, server } = transport;
  const attributes = {
    'mail.transport': name,
    'mail.lane': lane,
    'server.address': server?.host,
    'server.port': server?.port,
  };
  const send: Transport['send'] = (outgoing, options) =>
    tracer.span('mail attempt', { kind: 'client', attributes }, async (span) => {
      try {
        const acceptance = await transport.send(outgoing, options);
        const { response, rejections } = acceptance;
        const [, code] = /^(\d{3})[ -]/.exec(response) ?? [];
        span.set({
          'mail.outcome': 'accepted',
          'mail.smtp.reply_code': code === undefined ? undefined : Number(code),
          'mail.recipients.rejected': rejections.length > 0 ? rejections.length : undefined,
        });
        return acceptance;
      } catch (error) {
        if (error instanceof TransportError) {
          span.set({
            'mail.outcome': error.outcome,
            'mail.phase': error.phase,
            'mail.smtp.reply_code': error.replyCode,
            'mail.smtp.enhanced_code': error.enhancedCode,
          });
        }
        throw error;
      }
    });
  return { name, send };
}
