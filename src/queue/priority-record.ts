import { MailDeliveryError, type DeliveryAttempt } from '../errors.js';
import type { SentReceipt } from '../delivery/priority.js';
import type { Fields } from '../store/records.js';
import type { MailStatus, RecipientStatus } from './status.js';

/** What a priority send came to, as a record's fields. */
export function priorityFields(result: SentReceipt | MailDeliveryError, messageId: string, at: number): Fields {
  return {
    status: JSON.stringify(result instanceof MailDeliveryError ? failed(result) : sent(result)),
    messageId,
    at: String(at),
  };
}

interface Stored {
  state: 'sent' | 'failed' | 'expired';
  recipients: Omit<RecipientStatus, 'at'>[];
  transport?: string;
  reply?: string;
  replyCode?: number;
  enhancedCode?: string;
  attempts: number;
}

function sent({ transport, accepted, rejections, response }: SentReceipt): Stored {
  return {
    state: 'sent',
    transport,
    reply: response,
    attempts: 1,
    recipients: [
      ...accepted.map((address) => ({ address, state: 'sent' as const, attempts: 1, transport, reply: response })),
      ...rejections.map(({ permanent: _, ...why }) => ({ ...why, state: 'failed' as const, attempts: 1, transport })),
    ],
  };
}

function failed({ attempts, code }: MailDeliveryError): Stored {
  const last: Partial<DeliveryAttempt> = attempts.at(-1) ?? {};
  const { transport, reply, replyCode, enhancedCode } = last;
  return {
    state: code === 'EXPIRED' ? 'expired' : 'failed',
    recipients: [],
    attempts: attempts.length,
    ...(transport === undefined ? {} : { transport }),
    ...(reply === undefined ? {} : { reply }),
    ...(replyCode === undefined ? {} : { replyCode }),
    ...(enhancedCode === undefined ? {} : { enhancedCode }),
  };
}

export function readPriorityStatus(id: string, fields: Fields): MailStatus {
  const stored = JSON.parse(fields['status'] ?? '{}') as Stored;
  const at = new Date(Number(fields['at']));
  return {
    id,
    messageId: fields['messageId'] ?? '',
    lane: 'priority',
    ...stored,
    recipients: stored.recipients.map((recipient) => ({ ...recipient, at })),
    at,
  };
}
