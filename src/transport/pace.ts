/** Below the rate at which the server refused, so that it takes this share of it for sure. */
const BACK_TO = 0.9;
/** Of the ceiling, that a pace gains in a second. */
const GROWTH = 0.005;
/** After this long without a refusal it gains twice as much, and so on. Milliseconds. */
const FASTER_EVERY = 20_000;
/** A pace that comes from too short a time is kept for this long, and then doubles in each such span. Milliseconds. */
const DOUBLES_EVERY = 1_000;
/** A timer that fires late may be made good for: so much of a pace's time is not lost. Milliseconds. */
const CREDIT = 20;
/** It has not been the limit when nothing has waited for it for this long. Milliseconds. */
const LIMITS_FOR = 1_000;
/** A message in ten seconds; what is less is a matter of pauses. */
const SLOWEST = 0.1;

/** Messages evenly spread, at a rate that grows slowly until it is cut. Times are milliseconds of one clock. */
export class Pace {
  /** Messages a second. */
  private perSecond: number;
  private nextAt: number;
  /** Time without a refusal in which it was the limit. */
  private quiet = 0;
  private grownAt: number;
  private waitedAt: number;

  /**
   * @param ceiling messages a second of which the server refused some
   * @param measured false when they were counted for so short a time that the server may well take many more
   */
  constructor(
    private ceiling: number,
    now: number,
    private measured: boolean,
  ) {
    this.perSecond = Math.max(SLOWEST, BACK_TO * ceiling);
    this.nextAt = this.grownAt = this.waitedAt = now;
  }

  get rate(): number {
    return this.perSecond;
  }

  /** Until the next message may go. */
  wait(now: number): number {
    const wait = this.nextAt - now;
    if (wait > 0) this.waitedAt = now;
    return wait;
  }

  /** A message goes. */
  take(now: number): void {
    this.nextAt = Math.max(this.nextAt, now - CREDIT) + 1_000 / this.perSecond;
  }

  /** A message was accepted. */
  grow(now: number): void {
    const passed = Math.min(now - this.grownAt, LIMITS_FOR);
    this.grownAt = now;
    if (now - this.waitedAt > LIMITS_FOR) return;
    this.quiet += passed;
    if (!this.measured) {
      if (this.quiet > DOUBLES_EVERY) this.perSecond *= 2 ** (passed / DOUBLES_EVERY);
      return;
    }
    const faster = 2 ** Math.max(0, Math.floor(this.quiet / FASTER_EVERY) - 1);
    this.perSecond += (GROWTH * faster * this.ceiling * passed) / 1_000;
  }

  /** The server has refused more at the same time: it was measured, however short the time. */
  confirm(): void {
    this.measured = true;
  }

  /** See the constructor. */
  cut(ceiling: number, measured: boolean): void {
    this.measured ||= measured;
    this.ceiling = Math.max(SLOWEST, ceiling);
    this.perSecond = Math.max(SLOWEST, BACK_TO * ceiling);
    this.quiet = 0;
  }

  /** Nothing goes before this, and nothing is made good for. */
  resumeAt(time: number): void {
    this.nextAt = Math.max(this.nextAt, time + CREDIT);
  }

  /** Since anything has waited for it. */
  idle(now: number): number {
    return now - this.waitedAt;
  }
}
