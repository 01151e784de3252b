/** What became of one recipient of one queued message. `slot` names the recipient inside its batch. */
export type Fact = { slot: string; at: number } & (
  | { kind: 'sent'; transport: string; reply: string; providerId?: string }
  | { kind: 'failed'; reply: string; transport?: string; replyCode?: number; enhancedCode?: string }
  | { kind: 'deferred'; until: number; reply: string; transport?: string; replyCode?: number; enhancedCode?: string }
  | { kind: 'cancelled' }
  | { kind: 'expired' }
  // The transport's trouble, not a message's: no attempt is spent. Its slot is empty.
  | { kind: 'trouble'; reply: string; transport?: string }
);

export type FactKind = Fact['kind'];

/** The union of a recipient's facts. */
export interface SlotState {
  /** The fact that decides: the strongest, and among equals the latest. */
  fact: Fact;
  /** Answers about this recipient so far. */
  attempts: number;
  firstAt: number;
}

/** A fact that was true stays true, whoever recorded it when: accepted is accepted, even if another worker gave up. */
const STRENGTH: Record<FactKind, number> = { trouble: 0, deferred: 1, cancelled: 2, expired: 2, failed: 3, sent: 4 };

export function isSettled(kind: FactKind): boolean {
  return STRENGTH[kind] > STRENGTH.deferred;
}

/** What is known of a batch: the union of all facts about it, in whatever order they were read. */
export class LedgerView {
  private readonly slots = new Map<string, SlotState>();
  private readonly counts = { sent: 0, failed: 0, deferred: 0, cancelled: 0, expired: 0, trouble: 0 };
  private readonly troubles: number[] = [];
  private lastSent = 0;
  /** When the latest fact was recorded; 0 without any. */
  lastAt = 0;

  constructor(facts: Iterable<Fact> = []) {
    for (const fact of facts) this.add(fact);
  }

  add(fact: Fact): void {
    this.lastAt = Math.max(this.lastAt, fact.at);
    if (fact.kind === 'trouble') {
      this.troubles.push(fact.at);
      return;
    }
    if (fact.kind === 'sent') this.lastSent = Math.max(this.lastSent, fact.at);
    const known = this.slots.get(fact.slot);
    if (!known) {
      this.slots.set(fact.slot, { fact, attempts: 1, firstAt: fact.at });
      this.counts[fact.kind]++;
      return;
    }
    const stronger = STRENGTH[fact.kind] - STRENGTH[known.fact.kind] || fact.at - known.fact.at;
    if (stronger > 0) {
      this.counts[known.fact.kind]--;
      this.counts[fact.kind]++;
      known.fact = fact;
    }
    known.attempts++;
    known.firstAt = Math.min(known.firstAt, fact.at);
  }

  get(slot: string): SlotState | undefined {
    return this.slots.get(slot);
  }

  isSettled(slot: string): boolean {
    const state = this.slots.get(slot);
    return state !== undefined && isSettled(state.fact.kind);
  }

  /** When the transports' present trouble began. */
  get troubledSince(): number | undefined {
    const since = this.troubles.filter((at) => at > this.lastSent);
    return since.length > 0 ? Math.min(...since) : undefined;
  }

  /** How often the transports failed since anything was accepted. */
  get troublesInARow(): number {
    return this.troubles.filter((at) => at > this.lastSent).length;
  }

  /** How many recipients are in each state. */
  count(): Record<FactKind, number> {
    return { ...this.counts };
  }
}

/** Where a batch's facts are kept. Append-only: facts are added, never changed. */
export interface Ledger {
  /** Records the fact. It is in `view` at once, and durable when `committed()` resolves. */
  add(fact: Fact): void;
  readonly view: LedgerView;
  /**
   * Resolves at once while checkpoints are written as fast as messages are accepted; waits while the store is slow, so
   * that what was accepted and is not yet recorded stays little.
   */
  room(): Promise<void>;
  /** Resolves when all facts added so far are durable. */
  committed(): Promise<void>;
}
