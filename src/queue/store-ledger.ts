import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LedgerView, type Fact, type FactKind, type Ledger } from '../delivery/ledger.js';
import type { SuppressionReason } from '../feedback/suppression.js';
import { messageId } from '../message/ids.js';
import { oneLine } from '../message/text.js';
import type { Change, Fields, Records } from '../store/records.js';
import type { Batch } from './batch.js';
import { rememberProviderId } from './feedback/provider-ids.js';
import { progressField } from './progress.js';
import { GroupCommit } from './group-commit.js';
import { keys } from './keys.js';

/** A write that has been under way for longer holds new messages back. */
const SLOW_WRITE = 250;
const RETRY_EVERY = 250;

/** By their place, which is what is stored: new ones go to the end. */
const KINDS: readonly FactKind[] = [
  'sent',
  'failed',
  'deferred',
  'cancelled',
  'expired',
  'trouble',
  'reopened',
  'begun',
  'orphaned',
];

type Row = [kind: number, slot: string, at: number, ...rest: (string | number | null)[]];

interface Entry {
  batch: Batch;
  ledger: StoreLedger;
  fact: Fact;
}

/**
 * Writes the facts of all batches of a process: one checkpoint is under way at a time and the next one carries what was
 * settled meanwhile, of every batch. A checkpoint that fails is written again until it succeeds or the process lets go.
 */
export class Checkpoints {
  /** Sets this process's rows apart from those of a worker that had the batch before, or comes back late. */
  private readonly writer = randomBytes(6).toString('base64url');
  private sequence = 0;
  private readonly commit: GroupCommit<Entry>;

  /** @param providerIdsKept how long a provider's ids of messages are remembered, in milliseconds; undefined: they are not */
  constructor(
    private readonly records: Records,
    private readonly onError: (error: Error) => void,
    private readonly providerIdsKept?: number,
  ) {
    this.commit = new GroupCommit((entries) => this.write(entries));
  }

  /** They take so long that nothing new is begun. */
  get slow(): boolean {
    return this.commit.lag > SLOW_WRITE;
  }

  open(batch: Batch, facts: Iterable<Fact>, signal: AbortSignal): StoreLedger {
    return new StoreLedger(batch, new LedgerView(facts), this.commit, signal);
  }

  /** Notes that the worker has died that had the batch. */
  async orphaned(batch: string): Promise<void> {
    const field = `${this.writer}${this.sequence++}`;
    const fact = encode({ slot: '', at: Date.now(), kind: 'orphaned' });
    await this.records.merge([{ key: keys.ledger(batch), fields: { [field]: JSON.stringify([fact]) } }]);
  }

  /**
   * What has failed so far at these places counts as never tried. Each is reopened as of the time of its failure: whose clock
   * is ahead is then of no account.
   */
  async reopen(batch: Batch, view: LedgerView, slots: readonly string[]): Promise<void> {
    const facts = slots.map((slot): Fact => ({ slot, at: view.get(slot)?.fact.at ?? 0, kind: 'reopened' }));
    for (const fact of facts) view.add(fact);
    const field = `${this.writer}${this.sequence++}`;
    const changes: Change[] = [{ key: keys.ledger(batch.id), fields: { [field]: JSON.stringify(facts.map(encode)) } }];
    const { campaign } = batch;
    if (campaign) changes.push({ key: keys.progress(campaign.id), fields: progressField(batch, view, this.writer) });
    await this.records.merge(changes);
  }

  private async write(entries: readonly Entry[]): Promise<void> {
    const changes = this.changes(entries);
    for (;;) {
      try {
        return await this.records.merge(changes);
      } catch (error) {
        this.onError(error as Error);
        if (entries.every(({ ledger }) => ledger.abandoned)) throw error;
        // The same rows again: a write that did happen is only repeated.
        await sleep(RETRY_EVERY);
      }
    }
  }

  private changes(entries: readonly Entry[]): Change[] {
    const byBatch = new Map<StoreLedger, Fact[]>();
    for (const { ledger, fact } of entries) {
      const facts = byBatch.get(ledger);
      if (facts) facts.push(fact);
      else byBatch.set(ledger, [fact]);
    }
    const changes: Change[] = [];
    for (const [ledger, facts] of byBatch) {
      const field = `${this.writer}${this.sequence++}`;
      changes.push({ key: keys.ledger(ledger.batch.id), fields: { [field]: JSON.stringify(facts.map(encode)) } });
      if (this.providerIdsKept !== undefined)
        changes.push(...providerIds(ledger.batch.id, facts, this.providerIdsKept));
      const { campaign } = ledger.batch;
      if (!campaign) continue;
      changes.push({ key: keys.progress(campaign.id), fields: progressField(ledger.batch, ledger.view, this.writer) });
      const trouble = facts.findLast((fact) => fact.kind === 'failed' || fact.kind === 'trouble');
      if (trouble && 'reply' in trouble) {
        changes.push({ key: keys.campaign(campaign.id), fields: { lastError: oneLine(trouble.reply) } });
      }
    }
    return changes;
  }
}

function providerIds(batch: string, facts: readonly Fact[], keptFor: number): Change[] {
  return facts.flatMap((fact) => {
    if (fact.kind !== 'sent' || fact.providerId === undefined) return [];
    return [rememberProviderId(fact.providerId, messageId(batch, Number.parseInt(fact.slot)), keptFor)];
  });
}

/** A batch's facts in the store. */
export class StoreLedger implements Ledger {
  private last: Promise<void> = Promise.resolve();
  private failure: unknown;

  constructor(
    readonly batch: Batch,
    readonly view: LedgerView,
    private readonly commit: GroupCommit<Entry>,
    private readonly signal: AbortSignal,
  ) {}

  /** The worker is shutting down and its time is up: nobody waits for the checkpoints any more. */
  get abandoned(): boolean {
    return this.signal.aborted;
  }

  add(fact: Fact): void {
    this.view.add(fact);
    this.last = this.commit.add({ batch: this.batch, ledger: this, fact });
    this.last.catch((error: unknown) => (this.failure ??= error));
  }

  async room(): Promise<void> {
    while (this.commit.lag > SLOW_WRITE && !this.abandoned) await sleep(10);
  }

  async committed(): Promise<void> {
    // Writes happen in order: when the last one is done, all are.
    await this.last;
    if (this.failure) throw this.failure as Error;
  }
}

/** The facts of a ledger record, in no particular order. */
export function readFacts(fields: Fields | undefined): Fact[] {
  return Object.values(fields ?? {}).flatMap((rows) => (JSON.parse(rows) as Row[]).map(decode));
}

function encode(fact: Fact): Row {
  const head = [KINDS.indexOf(fact.kind), fact.slot, fact.at] as const;
  switch (fact.kind) {
    case 'sent':
      return [...head, fact.transport, fact.reply, ...(fact.providerId === undefined ? [] : [fact.providerId])];
    case 'failed':
      return [...head, fact.transport ?? null, fact.reply, fact.replyCode ?? null, fact.enhancedCode ?? null];
    case 'deferred':
      return [
        ...head,
        fact.transport ?? null,
        fact.reply,
        fact.replyCode ?? null,
        fact.enhancedCode ?? null,
        fact.until,
        ...(fact.yielded === true ? [1] : []),
      ];
    case 'trouble':
      return [...head, fact.transport ?? null, fact.reply];
    case 'begun':
      return [...head, fact.deaths];
    case 'cancelled':
      return fact.reply === undefined ? [...head] : [...head, null, fact.reply, fact.suppressed ?? null];
    default:
      return [...head];
  }
}

function decode(row: Row): Fact {
  const [code, slot, at, transport, reply, third, fourth, fifth, sixth] = row;
  const base = { slot, at };
  const via = typeof transport === 'string' ? { transport } : {};
  const why = {
    ...via,
    reply: String(reply ?? ''),
    ...(typeof third === 'number' ? { replyCode: third } : {}),
    ...(typeof fourth === 'string' ? { enhancedCode: fourth } : {}),
  };
  const kind = KINDS[code];
  switch (kind) {
    case 'sent':
      return {
        ...base,
        kind,
        transport: String(transport),
        reply: String(reply),
        ...(typeof third === 'string' ? { providerId: third } : {}),
      };
    case 'failed':
      return { ...base, kind, ...why };
    case 'deferred':
      return { ...base, kind, ...why, until: Number(fifth), ...(sixth === 1 ? { yielded: true } : {}) };
    case 'trouble':
      return { ...base, kind, ...via, reply: String(reply) };
    case 'begun':
      return { ...base, kind, deaths: Number(transport) };
    case 'cancelled':
      return {
        ...base,
        kind,
        ...(typeof reply === 'string' ? { reply } : {}),
        ...(typeof third === 'string' ? { suppressed: third as SuppressionReason } : {}),
      };
    case 'expired':
    case 'reopened':
    case 'orphaned':
      return { ...base, kind };
    default:
      throw new Error(`A ledger row has the unknown kind ${code}; it was written by a newer version`);
  }
}
