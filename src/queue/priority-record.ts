import { MailDeliveryError, reasonOf, type DeliveryAttempt } from '../errors.js';
import { Veto } from '../delivery/interception.js';
import type { SentReceipt } from '../delivery/priority.js';
import { SuppressedMailError, type Suppressed } from '../delivery/suppressed.js';
import { suppressionReply, type SuppressionReason } from '../feedback/suppression.js';
import { oneLine } from '../message/text.js';
import type { Fields } from '../store/records.js';
import type { Sealer } from '../store/sealing.js';
import { keys } from './keys.js';
import type { MailStatus, RecipientStatus } from './status.js';

/** A priority mail, whatever became of it. */
export interface PriorityMail {
  id: string;
  messageId: string;
  /** Its envelope recipients. */
  recipients: readonly string[];
}

/** What a priority send came to, or what it ended with. */
export type PriorityResult = (SentReceipt & { suppressed?: Suppressed }) | { status: 'unsent'; error: unknown };

/** The same as a record's fields. */
export function priorityFields(result: PriorityResult, mail: PriorityMail, at: number, sealer: Sealer): Fields {
  const stored = result.status === 'sent' ? sent(result) : unsent(result.error, mail.recipients);
  return {
    status: sealer.write(stored, keys.mail(mail.id)),
    messageId: mail.messageId,
    at: String(at),
  };
}

interface Stored {
  state: 'sent' | 'failed' | 'expired' | 'cancelled';
  recipients: Omit<RecipientStatus, 'at'>[];
  transport?: string;
  reply?: string;
  suppressed?: SuppressionReason;
  replyCode?: number;
  enhancedCode?: string;
  attempts: number;
}

function sent({
  transport,
  accepted,
  rejections,
  response,
  suppressed = new Map(),
}: SentReceipt & { suppressed?: Suppressed }): Stored {
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
      ...stopped(suppressed),
    ],
  };
}

function stopped(suppressed: Suppressed): Stored['recipients'] {
  return Array.from(suppressed, ([address, why]) => {
    return { address, state: 'cancelled', attempts: 0, reply: suppressionReply(why), suppressed: why.reason };
  });
}

function unsent(error: unknown, recipients: readonly string[]): Stored {
  const state = unsentState(error);
  if (error instanceof SuppressedMailError) {
    const each = stopped(error.suppressed);
    const { reply, suppressed } = each[0]!;
    return { state, attempts: 0, reply: reply!, suppressed: suppressed!, recipients: each };
  }
  const attempts = error instanceof MailDeliveryError ? error.attempts : [];
  const last: Partial<DeliveryAttempt> =
    attempts.at(-1) ?? (state === 'failed' ? { reply: oneLine(reasonOf(error)) } : {});
  const { transport, reply, replyCode, enhancedCode } = last;
  const how = {
    state,
    attempts: attempts.length,
    ...(transport === undefined ? {} : { transport }),
    ...(reply === undefined ? {} : { reply }),
    ...(replyCode === undefined ? {} : { replyCode }),
    ...(enhancedCode === undefined ? {} : { enhancedCode }),
  };
  return { ...how, recipients: recipients.map((address) => ({ address, ...how })) };
}

/** What a priority mail is that ended with this error. */
export function unsentState(error: unknown): 'failed' | 'expired' | 'cancelled' {
  if (error instanceof Veto || error instanceof SuppressedMailError) return 'cancelled';
  return error instanceof MailDeliveryError && error.code === 'EXPIRED' ? 'expired' : 'failed';
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
