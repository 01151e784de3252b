import { MessageTraces } from '../delivery/traced.js';
import { NO_TRACER, type SpanAttributes, type TraceContext, type Tracer } from '../events/tracer.js';
import type { Batch } from './batch.js';

/** A span with more links is hard to read, and OpenTelemetry drops those above 128. */
const MOST_LINKS = 100;

/** The spans of one queue's flushes and batches. */
export class QueueTraces {
  constructor(
    private readonly queue: string,
    private readonly tracer: Tracer = NO_TRACER,
  ) {}

  /** Runs a flush in a span: part of what sent its first message, and linked to what sent the others. */
  flush(batches: readonly Batch[], flush: () => Promise<void>): Promise<void> {
    if (!this.tracer.on) return flush();
    const [parent, ...links] = sendersOf(batches);
    const attributes = { ...this.messaging(batches), 'mail.batches': batches.length };
    return this.tracer.span('mail flush', { kind: 'client', parent, links, attributes }, flush);
  }

  /**
   * Runs a worker's work on a batch in a span: part of the campaign, or linked to what sent its messages.
   *
   * @param run is given the traces of the messages
   */
  batch<T extends { state: string }>(batch: Batch, run: (traces?: MessageTraces) => Promise<T>): Promise<T> {
    const { tracer } = this;
    if (!tracer.on) return run();
    const senders = sendersOf([batch]);
    const alone = senders.length === 1;
    const attributes = {
      ...this.messaging([batch]),
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'deliver',
      'mail.batch.id': batch.id,
      'mail.campaign.id': batch.campaign?.id,
    };
    const place = alone ? { parent: senders[0] } : { parent: null, links: senders };
    return tracer.span('mail batch', { kind: 'consumer', attributes, ...place }, async (span) => {
      const result = await run(new MessageTraces(tracer, span.context, batch.id, (index) => senderOf(batch, index)));
      span.set({ 'mail.batch.state': result.state });
      return result;
    });
  }

  private messaging(batches: readonly Batch[]): SpanAttributes {
    return {
      'messaging.system': 'bullmq',
      'messaging.destination.name': this.queue,
      'messaging.batch.message_count': batches.reduce((sum, { items }) => sum + items.length, 0),
    };
  }
}

function senderOf({ trace, items }: Batch, index: number): TraceContext | undefined {
  return items[index]!.trace ?? trace;
}

/** The spans in which messages were sent, each once, as far as a span can be linked to. */
function sendersOf(batches: readonly Batch[]): TraceContext[] {
  const senders = new Set<TraceContext>();
  for (const { trace, items } of batches) {
    if (trace !== undefined) senders.add(trace);
    for (const item of items) if (item.trace !== undefined) senders.add(item.trace);
    if (senders.size >= MOST_LINKS) break;
  }
  return [...senders].slice(0, MOST_LINKS);
}
