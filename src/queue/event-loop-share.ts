/** Bulk work takes the event loop for about this long at a time. Milliseconds. */
const SLICE = 1;

/**
 * Bulk mail's share of the event loop. Whoever has something to compute for it asks first, so that between any two such
 * pieces of work priority mail's answers are read, whatever the load.
 */
export class EventLoopShare {
  private readonly waiting: (() => void)[] = [];
  private startedAt = -Infinity;
  /** The next piece is the first of its turn. */
  private fresh = true;

  /** Undefined: go on at once. Else wait for a turn of the event loop. */
  enter(): Promise<void> | undefined {
    if (this.waiting.length === 0 && performance.now() - this.startedAt < SLICE) return undefined;
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      setImmediate(this.serve);
    });
  }

  /** One for each that waits. Those of one turn run one after the other, each with the work it lets through. */
  private readonly serve = (): void => {
    const now = performance.now();
    if (this.fresh) {
      this.fresh = false;
      this.startedAt = now;
      // What is scheduled in a turn runs after the sockets have been looked at.
      setImmediate(() => (this.fresh = true));
    }
    if (now - this.startedAt < SLICE) this.waiting.shift()?.();
    else setImmediate(this.serve);
  };
}
