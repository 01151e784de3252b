import type { Attempt, DeliveryObserver } from '../../delivery/observer.js';
import type { RecipientFact } from '../../delivery/ledger.js';
import { placeOf } from '../../delivery/work.js';
import { isPermanentBounce } from '../../feedback/mail/permanence.js';
import type { Suppression, SuppressionList } from '../../feedback/suppression.js';
import { reasonOf } from '../../errors.js';
import { itemRecipients, type Batch } from '../batch.js';
import { GroupCommit } from '../group-commit.js';

/** Entries that are written together. */
const MAX_GROUP = 500;

/** Suppresses whom a server refuses while a mail is handed over, since there is no such mailbox. */
export class Refusals {
  private readonly commit: GroupCommit<Suppression>;

  /** @param scope what such an address gets no more of */
  constructor(
    suppressions: Pick<SuppressionList, 'add'>,
    private readonly scope: 'all' | 'bulk',
    private readonly onError: (error: Error) => void,
  ) {
    this.commit = new GroupCommit((entries) => suppressions.add(entries), undefined, MAX_GROUP);
  }

  /** @param next told of everything, before */
  of(batch: Batch, next: DeliveryObserver): DeliveryObserver {
    return {
      settled: (index, facts, attempt) => {
        next.settled(index, facts, attempt);
        this.take(batch, index, facts, attempt);
      },
    };
  }

  private take(batch: Batch, index: number, facts: readonly RecipientFact[], { refused = [] }: Attempt): void {
    for (const fact of facts) {
      if (fact.kind !== 'failed' || !refused.includes(fact.slot)) continue;
      const { enhancedCode, reply, at } = fact;
      if (!isPermanentBounce({ diagnostic: reply, ...(enhancedCode === undefined ? {} : { status: enhancedCode }) }))
        continue;
      const address = itemRecipients(batch, batch.items[index]!)[placeOf(fact.slot)]!;
      this.add({ address, scope: this.scope, reason: 'hard-bounce', since: new Date(at), note: reply });
    }
  }

  /** The mail has failed all the same, and the next one to this address will tell again. */
  private add(suppression: Suppression): void {
    this.commit.add(suppression).catch((error: unknown) => {
      this.onError(new Error(`A refused address could not be suppressed: ${reasonOf(error)}`, { cause: error }));
    });
  }
}
