import { MailDeliveryError, MailError, type DeliveryAttempt } from '../errors.js';
import { InterceptorError, Veto } from '../delivery/interception.js';
import type { SentReceipt } from '../delivery/priority.js';
import type { Fields } from '../store/records.js';
import type { Sealer } from '../store/sealing.js';
import { keys } from './keys.js';
import type { MailStatus, RecipientStatus } from './status.js';

/** A priority mail, whatever became of it. */
export interface PriorityMail {
  messageId: string;
  /** Its envelope recipients. */
  recipients: readonly string[];
}

/** Why a priority mail was not sent. */
export type Unsent = MailDeliveryError | Veto | InterceptorError;

/** What a priority send came to, as a record's fields. */
export function priorityFields(result: SentReceipt | Unsent, mail: PriorityMail, at: number, sealer: Sealer): Fields {
  const stored = result instanceof MailError ? unsent(result, mail.recipients) : sent(result);
  return {
    status: sealer.write(stored, keys.mail(result.id)),
    messageId: mail.messageId,
    at: String(at),
  };
}

interface Stored {
  state: 'sent' | 'failed' | 'expired' | 'cancelled';
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
      ...rejections.map(({ permanent: _, kind: __, ...why }) => ({
        ...why,
        state: 'failed' as const,
        attempts: 1,
        transport,
      })),
    ],
  };
}

function unsent(error: Unsent, recipients: readonly string[]): Stored {
  const attempts = error instanceof MailDeliveryError ? error.attempts : [];
  const last: Partial<DeliveryAttempt> =
    attempts.at(-1) ?? (error instanceof InterceptorError ? { reply: error.message } : {});
  const { transport, reply, replyCode, enhancedCode } = last;
  const how = {
    state: stateOf(error),
    attempts: attempts.length,
    ...(transport === undefined ? {} : { transport }),
    ...(reply === undefined ? {} : { reply }),
    ...(replyCode === undefined ? {} : { replyCode }),
    ...(enhancedCode === undefined ? {} : { enhancedCode }),
  };
  return { ...how, recipients: recipients.map((address) => ({ address, ...how })) };
}

function stateOf(error: Unsent): 'failed' | 'expired' | 'cancelled' {
  if (error instanceof Veto) return 'cancelled';
  return error.code === 'EXPIRED' ? 'expired' : 'failed';
}

/** Undefined for a record that was sealed with a key that is not here. */
export function readPriorityStatus(id: string, fields: Fields, sealer: Sealer): MailStatus | undefined {
  const stored = sealer.read(fields['status'] ?? '', keys.mail(id)) as Stored | undefined;
  if (!stored) return undefined;
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
