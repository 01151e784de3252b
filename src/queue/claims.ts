import type { DeliveryAttempt } from '../errors.js';
import type { Lane } from '../message/message.js';
import { putNewest } from '../newest.js';
import type { Fields, Records } from '../store/records.js';
import type { Sealer } from '../store/sealing.js';
import { keys } from './keys.js';

/** What is known of an idempotency key. */
export type Claim =
  // Somebody is sending it, and will be until this time (milliseconds since the epoch) at the latest.
  | { state: 'claimed'; lane: Lane; owner: string; until: number }
  | { state: 'settled'; receipt: unknown }
  // It may have been sent.
  | { state: 'unknown'; lane: Lane; message: string; attempts: readonly DeliveryAttempt[] };

const UNREADABLE = 'What became of it is encrypted with a key that queue.encryptionKey of this process does not have.';

/** Claims on the queue's store, for all processes that share it. */
export class StoreClaims {
  constructor(
    private readonly records: Records,
    private readonly ttl: number,
    private readonly sealer: Sealer,
  ) {}

  /** Undefined when the claim was free and now holds; else what is there. */
  async claim(id: string, claim: Claim): Promise<Claim | undefined> {
    for (;;) {
      if (await this.records.putIfAbsent(keys.once(id), this.write(id, claim), Date.now() + this.ttl)) return undefined;
      const [fields] = await this.records.get([keys.once(id)]);
      if (fields) return this.read(id, fields);
    }
  }

  async set(id: string, claim: Claim): Promise<void> {
    await this.records.merge([{ key: keys.once(id), fields: this.write(id, claim) }]);
    await this.records.expire([keys.once(id)], Date.now() + this.ttl);
  }

  async release(id: string): Promise<void> {
    await this.records.delete([keys.once(id)]);
  }

  /** A receipt has the recipients' addresses. */
  private write(id: string, claim: Claim): Fields {
    return { claim: this.sealer.write(claim, keys.once(id)) };
  }

  private read(id: string, fields: Fields): Claim {
    const claim = this.sealer.read(fields['claim'] ?? '', keys.once(id)) as Claim | undefined;
    return claim ?? { state: 'unknown', lane: 'priority', message: UNREADABLE, attempts: [] };
  }
}

const MAX_REMEMBERED = 10_000;

/** Claims of this process alone: what it has settled itself, and all there is while the store is away. */
export class LocalClaims {
  private readonly claims = new Map<string, { claim: Claim; expiresAt: number }>();

  constructor(private readonly ttl: number) {}

  get(id: string): Claim | undefined {
    const known = this.claims.get(id);
    if (known && known.expiresAt <= Date.now()) this.claims.delete(id);
    else return known?.claim;
    return undefined;
  }

  set(id: string, claim: Claim): void {
    putNewest(this.claims, id, { claim, expiresAt: Date.now() + this.ttl }, MAX_REMEMBERED);
  }

  release(id: string): void {
    this.claims.delete(id);
  }
}
