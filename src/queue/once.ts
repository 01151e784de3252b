import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailDeliveryError, MailError, reasonOf } from '../errors.js';
import type { Lane } from '../message/message.js';
import type { Sealer } from '../store/sealing.js';
import type { Store } from '../store/store.js';
import { within } from '../within.js';
import { LocalClaims, StoreClaims, type Claim } from './claims.js';

export interface OnceOptions {
  lane: Lane;
  /** Milliseconds that the sending may take, and that a duplicate waits for one under way. */
  timeout: number;
  /** Sends again what may have been sent. */
  retryUnknown: boolean;
}

/** A store that does not answer within this long is taken as away: somebody is waiting. */
const STORE_ANSWERS_WITHIN = 3_000;
/** A claim outlives its sending by this much, for clocks that differ. */
const GRACE = 15_000;
const POLL = 50;

/**
 * Sends the same mail once. A key is claimed before the sending and settled after it: a failure that is surely `not-sent`
 * gives it back, an `unknown` one keeps it. Among processes on one store; while that is away, within this one.
 */
export class Once {
  private readonly owner = randomUUID();
  private readonly local: LocalClaims;
  private readonly shared: StoreClaims | undefined;
  private readonly running = new Map<string, Promise<unknown>>();
  /** Writes under way, by what they are about. */
  private readonly writes = new Map<string, Promise<void>>();

  /**
   * @param ttl milliseconds that a key is remembered
   * @param onError the store cannot be asked, and this process goes by what it knows itself
   */
  constructor(
    private readonly store: Store | undefined,
    ttl: number,
    private readonly onError: (error: Error) => void,
    sealer: Sealer,
  ) {
    this.local = new LocalClaims(ttl);
    this.shared = store && new StoreClaims(store.records, ttl, sealer);
  }

  /**
   * Runs `send`, or gives what it gave to the first who ran it.
   *
   * @param send told whether the key was free, or an earlier try of the same mail ended as unknown
   *
   * @throws MailDeliveryError with outcome `unknown` when the first may have been sent, or is still under way
   */
  async run<Receipt>(id: string, options: OnceOptions, send: (fresh: boolean) => Promise<Receipt>): Promise<Receipt> {
    const running = this.running.get(id) ?? this.first(id, options, send);
    this.running.set(id, running);
    try {
      return (await running) as Receipt;
    } finally {
      this.running.delete(id);
    }
  }

  /** Resolves when what has been settled is in the store. */
  async settled(): Promise<void> {
    await Promise.all(this.writes.values());
  }

  private async first(id: string, options: OnceOptions, send: (fresh: boolean) => Promise<unknown>): Promise<unknown> {
    const earlier = await this.claim(id, options);
    if (typeof earlier === 'object') return earlier.receipt;
    try {
      const receipt = await send(earlier === 'free');
      this.keep(id, { state: 'settled', receipt });
      return receipt;
    } catch (error) {
      if (error instanceof MailError && error.outcome === 'unknown') {
        const attempts = error instanceof MailDeliveryError ? error.attempts : [];
        this.keep(id, { state: 'unknown', lane: options.lane, message: error.message, attempts });
      } else {
        this.local.release(id);
        this.write(id, (shared) => shared.release(id));
      }
      throw error;
    }
  }

  /**
   * The first one's receipt; or `free` when the caller is the first, and `again` when it may repeat what an earlier one left
   * unknown, or nobody can tell. @throws MailDeliveryError
   */
  private async claim(
    id: string,
    options: OnceOptions,
  ): Promise<Extract<Claim, { state: 'settled' }> | 'free' | 'again'> {
    const deadline = performance.now() + options.timeout;
    const mine: Claim = {
      state: 'claimed',
      lane: options.lane,
      owner: this.owner,
      until: Date.now() + options.timeout + GRACE,
    };
    for (;;) {
      const known = this.local.get(id) ?? (await this.ask(id, mine));
      if (typeof known === 'string') return known;
      if (known.state === 'claimed' && known.owner === this.owner) return 'free';
      if (known.state === 'settled') return known;
      if (known.state === 'unknown' || known.until < Date.now()) {
        if (!mayRepeat(known, options)) throw unknown(id, known);
        this.local.release(id);
        this.write(id, (shared) => shared.set(id, mine));
        return 'again';
      }
      if (performance.now() >= deadline) throw unknown(id, known);
      await sleep(POLL);
    }
  }

  private async ask(id: string, mine: Claim): Promise<Claim | 'free' | 'again'> {
    const { store, shared } = this;
    if (!store || !shared) return 'free';
    try {
      const asked = async (): Promise<Claim | 'free'> => {
        // What this process has given back must be given back, or the claim that follows goes with it.
        await this.writes.get(id);
        // One that is not there yet knows nothing; it is made when there is something to write.
        if (!(await store.exists())) return 'free';
        await store.ready();
        return (await shared.claim(id, mine)) ?? 'free';
      };
      return await within(
        STORE_ANSWERS_WITHIN,
        asked(),
        () => new Error(`The store did not answer within ${STORE_ANSWERS_WITHIN} ms`),
      );
    } catch (error) {
      this.onError(
        new Error(`Idempotency keys are remembered by this process alone for now: ${reasonOf(error)}`, {
          cause: error,
        }),
      );
      return 'again';
    }
  }

  private keep(id: string, claim: Claim): void {
    this.local.set(id, claim);
    this.write(id, (shared) => shared.set(id, claim));
  }

  /** Off the sender's path. */
  private write(id: string, change: (shared: StoreClaims) => Promise<void>): void {
    const { store, shared } = this;
    if (!store || !shared) return;
    const written = Promise.resolve(this.writes.get(id))
      .then(() => store.ready())
      .then(() => change(shared))
      .catch((error: unknown) => this.onError(error as Error))
      .finally(() => {
        if (this.writes.get(id) === written) this.writes.delete(id);
      });
    this.writes.set(id, written);
  }
}

/** Queueing the same batch twice is queueing it once, whatever became of the first try. */
function mayRepeat(known: Exclude<Claim, { state: 'settled' }>, { lane, retryUnknown }: OnceOptions): boolean {
  return retryUnknown || (known.lane === 'bulk' && lane === 'bulk');
}

function unknown(id: string, known: Exclude<Claim, { state: 'settled' }>): MailDeliveryError {
  const earlier = `An earlier send() with the idempotencyKey of message ${id}`;
  if (known.state === 'unknown') {
    const message = `${earlier} ended without an answer, and may have sent it. ${known.message}`;
    return new MailDeliveryError(id, known.attempts, { message, outcome: 'unknown' });
  }
  const what = known.until < Date.now() ? 'was interrupted, and may have sent it' : 'is still under way';
  return new MailDeliveryError(id, [], { message: `${earlier} ${what}.`, outcome: 'unknown' });
}
