import { pickBy, type Balance } from './balance.js';
import { Line, type Candidate, type Usher } from './line.js';

/** Whether a message is still wanted is asked again after this long; milliseconds. */
const LOOK_EVERY = 100;

/** Gives the room that transports have for bulk mail to the lines of messages that wait for it, to each in turn. */
export class Dispatcher implements Usher {
  /** The lines with messages that wait; the one that was served last is last. */
  private readonly waiting = new Set<Line>();
  private timer: NodeJS.Timeout | undefined;
  private wakesAt = Infinity;

  constructor(private readonly balance: Balance) {}

  /**
   * @param rank the transports that its messages may take, the nearest first
   * @param patience milliseconds that they wait while none will have room soon
   */
  line(rank: () => readonly Candidate[], patience: number): Line {
    return new Line(this, rank, pickBy(this.balance), patience);
  }

  get crowded(): boolean {
    return this.waiting.size > 0;
  }

  expect(line: Line): void {
    if (this.waiting.has(line)) return;
    this.waiting.add(line);
    this.serve();
  }

  serve(): void {
    // A line that was served goes behind the others, and is come to again.
    for (const line of this.waiting) {
      const served = line.serve();
      if (served || line.empty) this.waiting.delete(line);
      if (served && !line.empty) this.waiting.add(line);
    }
    let within = LOOK_EVERY;
    for (const line of this.waiting) within = Math.min(within, line.within);
    if (this.waiting.size === 0) this.sleep();
    else this.wakeIn(Math.max(1, Math.ceil(within)));
  }

  private wake(): void {
    this.sleep();
    for (const line of this.waiting) line.dismiss();
    this.serve();
  }

  private wakeIn(milliseconds: number): void {
    const at = performance.now() + milliseconds;
    if (at >= this.wakesAt) return;
    this.sleep();
    this.wakesAt = at;
    this.timer = setTimeout(() => this.wake(), milliseconds);
    this.timer.unref();
  }

  private sleep(): void {
    clearTimeout(this.timer);
    this.wakesAt = Infinity;
  }
}
