import type { Limit, RateLimitSettings } from './rate-limit.js';
import type { SendOptions } from './transport.js';

/** The rate that a provider has told, and may change. Until it has, nothing is held back. */
export class ProviderLimit implements Limit {
  private current: { perSecond: number; limit: Limit } | undefined;

  /** @param open makes the limit of a rate */
  constructor(private readonly open: (settings: RateLimitSettings) => Limit) {}

  get holdsBulk(): boolean {
    return this.current?.limit.holdsBulk ?? false;
  }

  follow(perSecond: number): void {
    if (this.current?.perSecond === perSecond) return;
    // Those that wait for the former go by that one.
    const messages = Math.max(1, Math.floor(perSecond));
    const per = Math.max(1_000, 1_000 / perSecond);
    this.current = { perSecond, limit: this.open({ messages, per, reserve: 0 }) };
  }

  async take(options: SendOptions): Promise<void> {
    await this.current?.limit.take(options);
  }
}
