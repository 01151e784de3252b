import type { Ledger, RecipientFact } from '../delivery/ledger.js';
import type { Attempt, DeliveryObserver } from '../delivery/observer.js';
import { placeOf } from '../delivery/work.js';
import type { MailEmitter } from '../events/emitter.js';
import type { AboutMessage, MailEvents } from '../events/events.js';
import { messageId, messageIdHeader } from '../message/ids.js';
import { itemRecipients, senderOf, type Batch } from './batch.js';
import type { Statistics } from './statistics.js';

/** Where what happens is told, if anybody listens. */
export type Told = Pick<MailEmitter, 'emit' | 'wants'>;

/** Counts and tells what becomes of a batch's messages, the latter when it is durable: what is told twice was also sent twice. */
export class BatchEvents implements DeliveryObserver {
  constructor(
    private readonly batch: Batch,
    private readonly ledger: Ledger,
    private readonly events: Told,
    private readonly statistics: Statistics,
  ) {}

  settled(index: number, facts: readonly RecipientFact[], attempt: Attempt): void {
    for (const alike of byKind(facts)) {
      const [fact] = alike;
      const transport = 'transport' in fact ? fact.transport : undefined;
      this.statistics.count('bulk', fact.kind, alike.length, transport);
      if (isSuppressed(fact)) this.statistics.count('bulk', 'suppressed', alike.length);
      if (fact.kind === 'sent') this.statistics.delivered('bulk', fact.transport, attempt.duration);
      if (this.events.wants(fact.kind)) this.tell(index, alike, attempt);
    }
  }

  /** @param duration milliseconds of the run that has ended now */
  completed(duration: number): void {
    if (!this.events.wants('batch-completed')) return;
    const { id, campaign, items } = this.batch;
    const { deferred: _, ...counts } = this.ledger.view.count();
    this.events.emit('batch-completed', {
      batchId: id,
      ...(campaign ? { campaignId: campaign.id } : {}),
      size: items.length,
      ...counts,
      suppressed: this.ledger.view.suppressed,
      duration: Math.round(duration),
      queuedFor: queuedFor(this.batch, Date.now()),
    });
  }

  private tell(index: number, facts: Alike, { duration, outcome = 'not-sent', code }: Attempt): void {
    const [fact] = facts;
    const about = this.about(index, facts);
    const attempts = this.ledger.view.get(fact.slot)?.attempts ?? 0;
    const lasted = Math.round(duration);
    switch (fact.kind) {
      case 'sent': {
        const { transport, reply, providerId, at } = fact;
        const waited = queuedFor(this.batch, at);
        const byProvider = providerId === undefined ? {} : { providerId };
        const answer = { transport, reply, ...byProvider, attempts };
        return this.emit('sent', { ...about, ...answer, duration: lasted, queuedFor: waited });
      }
      case 'deferred': {
        const nextAttemptAt = new Date(fact.until);
        const busy = fact.yielded === true;
        return this.emit('deferred', { ...about, ...answerOf(fact), attempts, busy, nextAttemptAt });
      }
      case 'failed': {
        // Where no transport was asked there was no attempt, though the ledger counts one.
        const answers = fact.transport === undefined ? attempts - 1 : attempts;
        const why = { ...answerOf(fact), outcome, ...(code === undefined ? {} : { code }) };
        return this.emit('failed', { ...about, ...why, attempts: answers, duration: lasted });
      }
      case 'cancelled': {
        const { suppressed, reply } = fact;
        const why = suppressed === undefined ? {} : { suppressed };
        return this.emit('cancelled', { ...about, ...why, ...(reply === undefined ? {} : { reply }) });
      }
      default:
        return this.emit(fact.kind, about);
    }
  }

  private emit<Name extends RecipientFact['kind']>(name: Name, event: MailEvents[Name]): void {
    // What cannot be recorded has not happened, for whoever takes the batch next.
    const ignore = (): void => undefined;
    this.ledger.committed().then(() => this.events.emit(name, event), ignore);
  }

  private about(index: number, facts: Alike): AboutMessage & { lane: 'bulk' } {
    const { batch } = this;
    const all = itemRecipients(batch, batch.items[index]!);
    const id = messageId(batch.id, index);
    return {
      id,
      messageId: messageIdHeader(id, senderOf(batch, index)),
      lane: 'bulk',
      ...(batch.campaign ? { campaignId: batch.campaign.id } : {}),
      ...(batch.shared.source ? { source: batch.shared.source } : {}),
      recipients: facts.map(({ slot }) => all[placeOf(slot)]!),
    };
  }
}

/** Facts of one kind. */
type Alike = readonly [RecipientFact, ...RecipientFact[]];

function isSuppressed(fact: RecipientFact): boolean {
  return fact.kind === 'cancelled' && fact.suppressed !== undefined;
}

function byKind(facts: readonly RecipientFact[]): Iterable<Alike> {
  const kinds = new Map<RecipientFact['kind'], [RecipientFact, ...RecipientFact[]]>();
  for (const fact of facts) {
    const alike = kinds.get(fact.kind);
    if (alike) alike.push(fact);
    else kinds.set(fact.kind, [fact]);
  }
  return kinds.values();
}

type Refusal = Extract<RecipientFact, { kind: 'failed' | 'deferred' }>;

function answerOf({
  transport,
  reply,
  replyCode,
  enhancedCode,
}: Refusal): Pick<Refusal, 'transport' | 'reply' | 'replyCode' | 'enhancedCode'> {
  return {
    reply,
    ...(transport === undefined ? {} : { transport }),
    ...(replyCode === undefined ? {} : { replyCode }),
    ...(enhancedCode === undefined ? {} : { enhancedCode }),
  };
}

/** The clocks of producer and worker may differ. */
function queuedFor({ createdAt, sendAt = 0 }: Batch, at: number): number {
  return Math.max(0, at - Math.max(createdAt, sendAt));
}
