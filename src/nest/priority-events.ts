import type { SentNow } from '../delivery/priority.js';
import { MailDeliveryError, MailError, reasonOf } from '../errors.js';
import type { MailEmitter } from '../events/emitter.js';
import type { AboutMessage } from '../events/events.js';
import { messageIdHeader } from '../message/ids.js';
import { envelopeRecipients, type Message, type Travel } from '../message/message.js';
import { unsentState } from '../queue/priority-record.js';
import type { Statistics } from '../queue/statistics.js';

/** A priority message and how long its sender has been waiting, in milliseconds. */
export interface Handled {
  id: string;
  message: Message & Travel;
  duration: number;
}

/** Counts and tells what becomes of messages of the priority lane. */
export class PriorityEvents {
  constructor(
    private readonly events: Pick<MailEmitter, 'emit' | 'wants'>,
    private readonly statistics: Statistics,
  ) {}

  sent({ receipt, settled, delivery }: SentNow, { id, message, duration }: Handled): void {
    const { transport, response } = receipt;
    const { accepted, rejections } = settled;
    const { attempts, providerId } = delivery;
    const lasted = Math.round(duration);
    this.statistics.count('priority', 'sent', accepted.length, transport);
    this.statistics.count('priority', 'failed', rejections.length, transport);
    this.statistics.delivered('priority', transport, duration);
    if (this.events.wants('sent')) {
      const answer = { transport, reply: response, ...(providerId === undefined ? {} : { providerId }) };
      this.events.emit('sent', { ...about(id, message, accepted), ...answer, attempts, duration: lasted });
    }
    const [first] = rejections;
    if (!first || !this.events.wants('failed')) return;
    const { reply, replyCode, enhancedCode } = first;
    this.events.emit('failed', {
      ...about(
        id,
        message,
        rejections.map(({ address }) => address),
      ),
      transport,
      reply,
      ...(replyCode === undefined ? {} : { replyCode }),
      ...(enhancedCode === undefined ? {} : { enhancedCode }),
      outcome: 'not-sent',
      attempts,
      duration: lasted,
    });
  }

  unsent(error: unknown, { id, message, duration }: Handled): void {
    const name = unsentState(error);
    const recipients = envelopeRecipients(message);
    const attempts = error instanceof MailDeliveryError ? error.attempts : [];
    this.statistics.count(
      'priority',
      name,
      recipients.length,
      name === 'failed' ? attempts.at(-1)?.transport : undefined,
    );
    if (!this.events.wants(name)) return;
    const whom = about(id, message, recipients);
    if (name !== 'failed') return this.events.emit(name, whom);
    const { transport, replyCode, enhancedCode, reply = reasonOf(error) } = attempts.at(-1) ?? {};
    const { outcome = 'not-sent', code } = error instanceof MailError ? error : {};
    this.events.emit('failed', {
      ...whom,
      ...(transport === undefined ? {} : { transport }),
      reply,
      ...(replyCode === undefined ? {} : { replyCode }),
      ...(enhancedCode === undefined ? {} : { enhancedCode }),
      outcome,
      attempts: attempts.length,
      ...(code === undefined || code === 'DELIVERY' ? {} : { code }),
      duration: Math.round(duration),
    });
  }
}

function about(
  id: string,
  { from, rendering, laneBy }: Message & Travel,
  recipients: string[],
): AboutMessage & { laneBy?: string } {
  return {
    id,
    messageId: messageIdHeader(id, from.address),
    lane: 'priority',
    ...(rendering ? { source: rendering.source } : {}),
    recipients,
    ...(laneBy === undefined ? {} : { laneBy }),
  };
}
