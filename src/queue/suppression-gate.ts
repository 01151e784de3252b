import type { LedgerView } from '../delivery/ledger.js';
import { slotOf } from '../delivery/work.js';
import { isSameMarker, SUPPRESSION_MARKER, type RecordedSuppressions } from '../feedback/recorded-suppressions.js';
import type { SuppressedMail, Suppression, SuppressionList, SuppressionSettings } from '../feedback/suppression.js';
import type { Fields } from '../store/records.js';
import { within } from '../within.js';
import { itemRecipients, type Batch } from './batch.js';

/** A list that cannot tell whether it has changed is asked again this often, of what a batch has not sent yet. Milliseconds. */
const ASK_EVERY = 3_000;
/** What was heard longer ago is not relied on: nothing of the batch is sent before it was asked again. Milliseconds. */
const STALE_AFTER = 10_000;
/** What a list of the application's own takes longer for has been no answer. It has to be well before the last is stale. Milliseconds. */
const ANSWER_WITHIN = 5_000;

/** Asks the suppression list about batches. */
export class SuppressionGate {
  /** The record to read along with others, by which an own list need not be asked; none where it must. */
  readonly markers: readonly string[];
  private readonly own: SuppressionList | undefined;

  constructor(
    private readonly recorded: RecordedSuppressions,
    private readonly settings: SuppressionSettings,
  ) {
    this.own = settings.list;
    this.markers = this.own ? [] : [SUPPRESSION_MARKER];
  }

  /** @param marker as it was read. Rejects while the list cannot be asked */
  async open(batch: Batch, view: LedgerView, marker: Fields | undefined): Promise<BatchSuppressions> {
    const suppressions = new BatchSuppressions(this.question(batch, view), this.own === undefined);
    await suppressions.refresh(marker);
    return suppressions;
  }

  private question(batch: Batch, view: LedgerView): Question {
    const { list } = batch.shared;
    // What came over from the priority lane heeds what that lane does.
    const mail: SuppressedMail =
      batch.urgency === 'overflow' ? { lane: 'priority' } : { lane: 'bulk', ...(list ? { list } : {}) };
    if (mail.lane === 'priority' && this.settings.priority === 'ignore') return () => Promise.resolve(new Map());
    const { own, recorded } = this;
    const addresses = (): string[] => pendingAddresses(batch, view);
    return own
      ? () => within(ANSWER_WITHIN, own.find(addresses(), mail), noAnswer)
      : (marker) => recorded.findMarked(marker === undefined ? [] : addresses(), mail, marker);
  }
}

type Question = (marker: Fields | undefined) => Promise<ReadonlyMap<string, Suppression>>;

/** Who of a batch's recipients is suppressed, as far as was heard. */
export class BatchSuppressions {
  private found: ReadonlyMap<string, Suppression> = new Map();
  private seen: Fields | undefined;
  private askedAt = -Infinity;
  private heardAt = -Infinity;

  constructor(
    private readonly ask: Question,
    private readonly hasMarker: boolean,
  ) {}

  /** Asks again where something may have changed. Rejects while the list cannot be asked: what was heard holds until it is stale. */
  async refresh(marker: Fields | undefined): Promise<void> {
    const now = performance.now();
    const isFirst = this.askedAt === -Infinity;
    const isSame = this.hasMarker ? isSameMarker(marker, this.seen) : now - this.askedAt < ASK_EVERY;
    if (isFirst || !isSame) {
      this.found = await this.ask(marker);
      this.askedAt = now;
      this.seen = marker;
    }
    this.heardAt = now;
  }

  of(address: string): Suppression | undefined {
    return this.found.size === 0 ? undefined : this.found.get(address);
  }

  /** What was heard can still be relied on. */
  get fresh(): boolean {
    return performance.now() - this.heardAt < STALE_AFTER;
  }
}

function noAnswer(): Error {
  return new Error(`The list of the mail option suppression.list has not answered within ${ANSWER_WITHIN / 1_000} s.`);
}

function pendingAddresses(batch: Batch, view: LedgerView): string[] {
  const pending = new Set<string>();
  for (const [index, item] of batch.items.entries()) {
    const recipients = itemRecipients(batch, item);
    const work = { recipients: () => recipients };
    recipients.forEach((address, place) => {
      if (!view.isSettled(slotOf(work, index, place))) pending.add(address);
    });
  }
  return [...pending];
}
