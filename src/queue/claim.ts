import { randomBytes } from 'node:crypto';
import { MailError } from '../errors.js';
import type { Records } from '../store/records.js';
import { keys } from './keys.js';

/** A claim runs out unless it is renewed, so that one of a process that died does not last. */
const CLAIM_FOR = 30_000;
const RENEW_EVERY = 10_000;

/** The right to queue a campaign: one call at a time has it. */
export class Claim {
  private readonly key: string;
  private readonly owner = randomBytes(12).toString('base64url');
  private readonly gone = new AbortController();
  private renewal: NodeJS.Timeout | undefined;

  private constructor(
    private readonly records: Records,
    private readonly id: string,
    private readonly onRenewed: () => Promise<void>,
  ) {
    this.key = keys.producer(id);
  }

  /**
   * @param onRenewed called from time to time while the claim is held
   * @throws MailError when somebody else has it
   */
  static async take(records: Records, id: string, onRenewed: () => Promise<void>): Promise<Claim> {
    const claim = new Claim(records, id, onRenewed);
    if (!(await records.putIfAbsent(claim.key, { owner: claim.owner }, Date.now() + CLAIM_FOR))) {
      throw new MailError(
        `The campaign ${id} is being queued by another call or process. Wait for it to end; after a crash, for ${CLAIM_FOR / 1000} s.`,
        { permanent: false, code: 'CAMPAIGN_BUSY', campaignId: id },
      );
    }
    claim.renewal = setInterval(() => void claim.renew().catch(() => undefined), RENEW_EVERY);
    claim.renewal.unref();
    return claim;
  }

  /** Aborts when the claim ran out, because this process or the store stood still. Somebody else may have it now. */
  get lost(): AbortSignal {
    return this.gone.signal;
  }

  async release(): Promise<void> {
    clearInterval(this.renewal);
    try {
      if (await this.isOurs()) await this.records.delete([this.key]);
    } catch {
      // It runs out by itself.
    }
  }

  private async renew(): Promise<void> {
    if (await this.isOurs()) {
      await this.records.expire([this.key], Date.now() + CLAIM_FOR);
      await this.onRenewed();
    } else {
      clearInterval(this.renewal);
      this.gone.abort(
        new MailError(
          `The right to queue the campaign ${this.id} ran out while this process or the store stood still. sendBulk with the same id continues`,
          { permanent: false, code: 'CAMPAIGN_LOST', campaignId: this.id },
        ),
      );
    }
  }

  private async isOurs(): Promise<boolean> {
    const [fields] = await this.records.get([this.key]);
    return fields?.['owner'] === this.owner;
  }
}
