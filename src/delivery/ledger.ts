import type { SuppressionReason } from '../feedback/suppression.js';

/** What became of one recipient of one queued message. `slot` names the recipient inside its batch. */
export type Fact = { slot: string; at: number } & (
  | { kind: 'sent'; transport: string; reply: string; providerId?: string }
  | { kind: 'failed'; reply: string; transport?: string; replyCode?: number; enhancedCode?: string }
  | {
      kind: 'deferred';
      until: number;
      reply: string;
      transport?: string;
      replyCode?: number;
      enhancedCode?: string;
      /** The transport was busy: it spends no attempt. */
      yielded?: boolean;
    }
  // With a reason: the suppression list stopped it.
  | { kind: 'cancelled'; reply?: string; suppressed?: SuppressionReason }
  | { kind: 'expired' }
  // The transports' trouble, or that none has room; not a message's: no attempt is spent. Its slot is empty.
  | { kind: 'trouble'; reply: string; transport?: string }
  // Somebody wants what failed to be tried again, as if it had never been tried.
  | { kind: 'reopened' }
  // It is about to be tried, in a batch whose workers have died so often; without a slot, the worker has lived on.
  | { kind: 'begun'; deaths: number }
  // A worker died that had the batch, where the queue does not count that. Its slot is empty.
  | { kind: 'orphaned' }
);

export type FactKind = Fact['kind'];

type RecipientKind = 'sent' | 'failed' | 'deferred' | 'cancelled' | 'expired';

/** What became of a recipient. The others are about the batch, or about what is being done. */
export type RecipientFact = Extract<Fact, { kind: RecipientKind }>;

/** A fact before it is said whom it is about. */
export type Unplaced<T extends Fact> = T extends unknown ? Omit<T, 'slot'> : never;

/** How many recipients ended so, or are put off. */
export type Counts = Record<RecipientKind, number>;

/** The union of a recipient's facts. */
export interface SlotState {
  /** The fact that decides: the strongest, and among equals the latest. */
  fact: RecipientFact;
  /** Answers about this recipient so far. */
  attempts: number;
  /** How often a busy transport put it off. */
  yields: number;
  /** Milliseconds of its own pauses so far. */
  paused: number;
}

/** A fact that was true stays true, whoever recorded it when: accepted is accepted, even if another worker gave up. */
const STRENGTH: Record<RecipientKind, number> = { deferred: 1, cancelled: 2, expired: 2, failed: 3, sent: 4 };

export function isSettled(kind: RecipientKind): boolean {
  return STRENGTH[kind] > STRENGTH.deferred;
}

/** What is known of a batch: the union of all facts about it, in whatever order they were read. */
export class LedgerView {
  private readonly slots = new Map<string, SlotState>();
  private readonly counts: Counts = { sent: 0, failed: 0, deferred: 0, cancelled: 0, expired: 0 };
  private stopped = 0;
  private readonly troubles: number[] = [];
  private readonly yieldings: number[] = [];
  /** What was begun last, by how many deaths there had been. */
  private readonly begun = new Map<number, { slot: string; at: number }>();
  private orphaned = 0;
  private reopened = 0;
  private lastSent = 0;
  private lastReopened = 0;
  /** When the latest fact was recorded; 0 without any. */
  lastAt = 0;

  constructor(facts: Iterable<Fact> = []) {
    const known = [...facts];
    // What was reopened is what had failed before.
    if (known.some(({ kind }) => kind === 'reopened')) known.sort(inTime);
    for (const fact of known) this.add(fact);
  }

  add(fact: Fact): void {
    this.lastAt = Math.max(this.lastAt, fact.at);
    switch (fact.kind) {
      case 'trouble':
        return void this.troubles.push(fact.at);
      case 'orphaned':
        return void this.orphaned++;
      case 'begun':
        return this.begin(fact);
      case 'reopened':
        return this.reopen(fact);
      default:
        return this.settle(fact);
    }
  }

  get(slot: string): SlotState | undefined {
    return this.slots.get(slot);
  }

  isSettled(slot: string): boolean {
    const state = this.slots.get(slot);
    return state !== undefined && isSettled(state.fact.kind);
  }

  /**
   * Since when the transports are in trouble, or have no room.
   *
   * @param after what was before is over
   */
  troubledSince(after = 0): number | undefined {
    const since = this.troubles.filter((at) => at > Math.max(after, this.lastSent));
    return since.length > 0 ? Math.min(...since) : undefined;
  }

  /**
   * How often the transports failed since anything was accepted.
   *
   * @param after what was before is over
   */
  troublesInARow(after = 0): number {
    return this.troubles.filter((at) => at > Math.max(after, this.lastSent)).length;
  }

  /** How often a transport put messages off since any was accepted, or reopened. */
  get yieldsInARow(): number {
    return this.yieldedAt().length;
  }

  /**
   * Milliseconds between those times.
   *
   * @param longest what lies further apart was a wait for something else
   */
  yieldedFor(longest: number): number {
    const times = this.yieldedAt().sort((one, other) => one - other);
    return times.reduce((sum, at, index) => sum + Math.min(longest, at - (times[index - 1] ?? at)), 0);
  }

  /** When there was trouble last; 0 when there was none. */
  get troubledAt(): number {
    return Math.max(0, ...this.troubles);
  }

  /** When anything of it was accepted last; 0 when nothing was. */
  get acceptedAt(): number {
    return this.lastSent;
  }

  /** How often something was reopened. Each time what was settled is less than before. */
  get reopenings(): number {
    return this.reopened;
  }

  /** Deaths of a worker that the queue has not counted. */
  get orphanings(): number {
    return this.orphaned;
  }

  /**
   * At how many deaths of a worker this message was the one being tried.
   *
   * @param deaths of workers that had the batch so far
   */
  deathsAt(slot: string, deaths: number): number {
    let count = 0;
    for (const [before, begun] of this.begun) {
      if (begun.slot !== slot || before >= deaths) continue;
      // An answer shows that the worker survived it.
      const { fact } = this.slots.get(slot) ?? {};
      if (!fact || fact.at < begun.at) count++;
    }
    return count;
  }

  /** How many of the cancelled ones the suppression list stopped. */
  get suppressed(): number {
    return this.stopped;
  }

  /** How many recipients are in each state. */
  count(): Counts {
    return { ...this.counts };
  }

  private settle(fact: RecipientFact): void {
    if (fact.kind === 'sent') this.lastSent = Math.max(this.lastSent, fact.at);
    const yields = fact.kind === 'deferred' && fact.yielded === true ? 1 : 0;
    const paused = fact.kind === 'deferred' ? fact.until - fact.at : 0;
    if (yields > 0) this.yieldings.push(fact.at);
    const known = this.slots.get(fact.slot);
    if (!known) {
      this.slots.set(fact.slot, { fact, attempts: 1 - yields, yields, paused });
      this.tally(fact, 1);
      return;
    }
    const stronger = STRENGTH[fact.kind] - STRENGTH[known.fact.kind] || fact.at - known.fact.at;
    if (stronger > 0) {
      this.tally(known.fact, -1);
      this.tally(fact, 1);
      known.fact = fact;
    }
    known.attempts += 1 - yields;
    known.yields += yields;
    known.paused += paused;
  }

  private yieldedAt(): number[] {
    const since = Math.max(this.lastSent, this.lastReopened);
    return this.yieldings.filter((at) => at > since);
  }

  private tally(fact: RecipientFact, by: 1 | -1): void {
    this.counts[fact.kind] += by;
    if (fact.kind === 'cancelled' && fact.suppressed !== undefined) this.stopped += by;
  }

  private reopen({ slot, at }: Fact): void {
    this.reopened++;
    this.lastReopened = Math.max(this.lastReopened, at);
    const known = this.slots.get(slot);
    if (known?.fact.kind !== 'failed' || known.fact.at > at) return;
    this.slots.delete(slot);
    this.counts.failed--;
    for (const [deaths, begun] of this.begun) if (begun.slot === slot) this.begun.delete(deaths);
  }

  private begin({ slot, at, deaths }: Extract<Fact, { kind: 'begun' }>): void {
    const known = this.begun.get(deaths);
    // One after the other, and of the same millisecond the one that comes later in the batch.
    if (!known || at > known.at || (at === known.at && (slot === '' || Number(slot) > Number(known.slot)))) {
      this.begun.set(deaths, { slot, at });
    }
  }
}

function inTime(one: Fact, other: Fact): number {
  return one.at - other.at || Number(one.kind === 'reopened') - Number(other.kind === 'reopened');
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
