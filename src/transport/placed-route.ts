import type { Route } from './dispatch.js';
import type { GuardedTransport } from './guarded.js';
import type { Transport } from './transport.js';

/** Where places come from, and go back to. */
export interface Places {
  /** Takes a place at a transport that has room at once, other than these. */
  take(tried: readonly GuardedTransport[]): GuardedTransport | undefined;
  leave(transport: GuardedTransport): void;
}

/** A place at one transport, and at the others when they are come to. Never more than one at a time. */
export class PlacedRoute implements Route {
  private held: GuardedTransport | undefined;
  private readonly tried: GuardedTransport[] = [];

  /** @param first where the message has a place already */
  constructor(
    private readonly places: Places,
    first: GuardedTransport,
    readonly length: number,
  ) {
    this.held = first;
  }

  leave(): void {
    const { held } = this;
    this.held = undefined;
    if (held) this.places.leave(held);
  }

  /** An iterator and no generator, which gives nothing back that was never asked for its first. */
  [Symbol.iterator](): Iterator<Transport> {
    return {
      next: () => {
        const value = this.advance();
        return value ? { done: false, value } : { done: true, value: undefined };
      },
      return: () => {
        this.leave();
        return { done: true, value: undefined };
      },
    };
  }

  /** Who has left does not come back. */
  private advance(): GuardedTransport | undefined {
    const { held, tried } = this;
    if (held && tried.includes(held)) {
      this.leave();
      this.held = this.places.take(tried);
    }
    if (this.held) tried.push(this.held);
    return this.held;
  }
}
