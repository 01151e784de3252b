import { messageId, messageIdHeader } from '../message/ids.js';
import type { Lane } from '../message/message.js';
import { slotOf } from '../delivery/work.js';
import { isSettled, type LedgerView, type RecipientFact, type SlotState } from '../delivery/ledger.js';
import type { SuppressionReason } from '../feedback/suppression.js';
import { itemRecipients, senderOf, type Batch } from './batch.js';
import type { RecipientFeedback } from './feedback/reports.js';

export type MailState =
  'queued' | 'scheduled' | 'sending' | 'deferred' | 'sent' | 'failed' | 'cancelled' | 'expired' | 'suspended';

/** What is known of one envelope recipient. */
export interface RecipientStatus {
  address: string;
  state: MailState;
  /** The server's own words, or why the suppression list stopped it. */
  reply?: string;
  /** Of one that is cancelled: why the suppression list stopped it. */
  suppressed?: SuppressionReason;
  replyCode?: number;
  enhancedCode?: string;
  transport?: string;
  /** The provider's own id of the message, where it gives one. */
  providerId?: string;
  attempts: number;
  at?: Date;
  /** When it is tried again. */
  nextAttemptAt?: Date;
  /** What was reported about it after it was sent, by type. Undefined where nothing was. */
  feedback?: RecipientFeedback;
}

/** Where a message is. */
export interface MailStatus {
  id: string;
  messageId: string;
  lane: Lane;
  /** Of the whole message: pending while a recipient is, else `sent` when it was accepted for any of them. */
  state: MailState;
  campaignId?: string;
  recipients: RecipientStatus[];
  /** Why the suppression list stopped it, where it did so for all recipients. */
  suppressed?: SuppressionReason;
  /** Of the latest answer about any recipient. */
  transport?: string;
  reply?: string;
  replyCode?: number;
  enhancedCode?: string;
  attempts: number;
  /** When the state was reached. */
  at?: Date;
  nextAttemptAt?: Date;
}

/** What a message is doing whose recipient nothing has been recorded about. */
export type Waiting = Extract<MailState, 'queued' | 'scheduled' | 'sending' | 'cancelled' | 'suspended'>;

/** The status of one message of a batch. */
export function statusOf(batch: Batch, index: number, view: LedgerView, waiting: Waiting): MailStatus {
  const item = batch.items[index]!;
  const addresses = itemRecipients(batch, item);
  const work = { recipients: () => addresses };
  const recipients = addresses.map((address, recipient) =>
    recipientStatus(address, view.get(slotOf(work, index, recipient)), waiting),
  );
  const id = messageId(batch.id, index);
  // What the servers said goes before whom the suppression list left out.
  const served = recipients.filter(({ suppressed }) => suppressed === undefined);
  const latest = (served.length > 0 ? served : recipients).reduce((a, b) =>
    (b.at?.getTime() ?? 0) > (a.at?.getTime() ?? 0) ? b : a,
  );
  const { address: _, state: __, attempts: ___, ...details } = latest;
  return {
    id,
    messageId: messageIdHeader(id, senderOf(batch, index)),
    lane: 'bulk',
    state: overall(recipients.map(({ state }) => state)),
    recipients,
    attempts: Math.max(...recipients.map(({ attempts }) => attempts)),
    ...(batch.campaign ? { campaignId: batch.campaign.id } : {}),
    ...details,
  };
}

function recipientStatus(address: string, known: SlotState | undefined, waiting: Waiting): RecipientStatus {
  if (!known) return { address, state: waiting, attempts: 0 };
  const { fact, attempts } = known;
  const state = stateOf(fact, waiting);
  const details: Partial<RecipientStatus> = {};
  if ('reply' in fact && fact.reply !== undefined) details.reply = fact.reply;
  if ('suppressed' in fact && fact.suppressed !== undefined) details.suppressed = fact.suppressed;
  if ('transport' in fact && fact.transport !== undefined) details.transport = fact.transport;
  if ('replyCode' in fact && fact.replyCode !== undefined) details.replyCode = fact.replyCode;
  if ('enhancedCode' in fact && fact.enhancedCode !== undefined) details.enhancedCode = fact.enhancedCode;
  if ('providerId' in fact && fact.providerId !== undefined) details.providerId = fact.providerId;
  if (fact.kind === 'deferred' && state === 'deferred') details.nextAttemptAt = new Date(fact.until);
  return { address, state, attempts, at: new Date(fact.at), ...details };
}

function stateOf({ kind }: RecipientFact, waiting: Waiting): MailState {
  return !isSettled(kind) && (waiting === 'cancelled' || waiting === 'suspended') ? waiting : kind;
}

/** Pending states first: a message is settled when all of its recipients are. */
const ORDER: readonly MailState[] = [
  'sending',
  'deferred',
  'suspended',
  'queued',
  'scheduled',
  'sent',
  'failed',
  'expired',
  'cancelled',
];

function overall(states: readonly MailState[]): MailState {
  return ORDER.find((state) => states.includes(state)) ?? 'queued';
}

const PENDING: readonly MailState[] = ['queued', 'scheduled', 'sending', 'deferred', 'suspended'];

export function isPending(state: MailState): boolean {
  return PENDING.includes(state);
}
