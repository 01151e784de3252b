/** Counts events, and tells how many there were a second of late. */
export class Meter {
  private since = -Infinity;
  private previous = 0;
  private turn = -Infinity;
  private current = 0;

  /** @param now milliseconds */
  restart(now: number): void {
    this.since = this.turn = now;
    this.previous = this.current = 0;
  }

  /** @param span milliseconds; what is older than twice that is forgotten */
  add(now: number, span: number): void {
    const age = now - this.turn;
    if (age > 2 * span) this.restart(now);
    else if (age > span) {
      this.since = this.turn;
      this.previous = this.current;
      this.turn = now;
      this.current = 0;
    }
    this.current++;
  }

  /** Milliseconds that it has been counting. */
  running(now: number): number {
    return now - this.since;
  }

  /** What came within less than a second counts as one second's. */
  perSecond(now: number): number {
    return ((this.previous + this.current) * 1_000) / Math.max(1_000, now - this.since);
  }
}
