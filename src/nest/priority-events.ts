import type { SentNow } from '../delivery/priority.js';
import { SuppressedMailError, type Suppressed } from '../delivery/suppressed.js';
import { MailDeliveryError, MailError, reasonOf } from '../errors.js';
import type { MailEmitter } from '../events/emitter.js';
import type { AboutMessage } from '../events/events.js';
import { suppressionReply } from '../feedback/suppression.js';
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

  sent({ receipt, settled, suppressed, delivery }: SentNow, { id, message, duration }: Handled): void {
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
    this.suppressed(id, message, suppressed);
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
    if (error instanceof SuppressedMailError) return this.suppressed(id, message, error.suppressed);
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

  private suppressed(id: string, message: Message & Travel, suppressed: Suppressed): void {
    if (suppressed.size === 0) return;
    this.statistics.count('priority', 'cancelled', suppressed.size);
    this.statistics.count('priority', 'suppressed', suppressed.size);
    if (!this.events.wants('cancelled')) return;
    for (const [address, why] of suppressed) {
      const reply = suppressionReply(why);
      this.events.emit('cancelled', { ...about(id, message, [address]), suppressed: why.reason, reply });
    }
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
