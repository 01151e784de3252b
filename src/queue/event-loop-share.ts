/** Bulk work takes the event loop for about this long at a time. Milliseconds. */
const SLICE = 1;

/**
 * Bulk mail's share of the event loop. Whoever has something to compute for it asks first, so that between any two such
 * pieces of work priority mail's answers are read, whatever the load.
 */
export class EventLoopShare {
  private readonly waiting: (() => void)[] = [];
  private startedAt = -Infinity;

  /** Undefined: go on at once. Else wait for a turn of the event loop. */
  enter(): Promise<void> | undefined {
    if (this.waiting.length === 0 && performance.now() - this.startedAt < SLICE) return undefined;
    return new Promise((resolve) => {
      if (this.waiting.push(resolve) === 1) setImmediate(() => this.turn());
    });
  }

  /** One piece of work a turn: what is scheduled in a turn runs after the sockets have been looked at. */
  private turn(): void {
    this.startedAt = performance.now();
    this.waiting.shift()?.();
    if (this.waiting.length > 0) setImmediate(() => this.turn());
  }
}
