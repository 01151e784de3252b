import type { Limit, RateLimitSettings } from './rate-limit.js';
import type { SendOptions } from './transport.js';

/** Of a provider's rate, what is left to the priority lane. */
const RESERVE = 0.1;

/** The rate that a provider has told, in recipients, and may change. Until it has, nothing is held back. */
export class ProviderLimit implements Limit {
  private current: { perSecond: number; recipients: number; limit: Limit } | undefined;

  /**
   * @param open makes the limit of a rate
   * @param reserves some of it is left to the priority lane
   */
  constructor(
    private readonly open: (settings: RateLimitSettings) => Limit,
    private readonly reserves: boolean,
  ) {}

  get holdsBulk(): boolean {
    return this.current?.limit.holdsBulk ?? false;
  }

  follow(perSecond: number): void {
    if (this.current?.perSecond === perSecond) return;
    // Those that wait for the former go by that one.
    const recipients = Math.max(1, Math.floor(perSecond));
    const per = Math.max(1_000, 1_000 / perSecond);
    const reserve = this.reserves && recipients > 1 ? Math.ceil(recipients * RESERVE) : 0;
    this.current = { perSecond, recipients, limit: this.open({ messages: recipients, per, reserve }) };
  }

  /** Each recipient counts, up to as many as the provider takes in a second: a request of more has to leave as well. */
  async take(options: SendOptions, recipients: number): Promise<void> {
    const { current } = this;
    if (!current) return;
    const places = Math.min(recipients, current.recipients);
    await Promise.all(Array.from({ length: places }, () => current.limit.take(options, 1)));
  }
}
