/** What a transport's circuit breaker thinks of it. Times are milliseconds since the epoch. */
export type Circuit =
  | { state: 'closed'; failures: number }
  | { state: 'open'; since: number; until: number; openings: number; reason: string }
  | { state: 'half-open'; since: number; openings: number; reason: string };

export interface BreakerSettings {
  /** Consecutive failures that open the circuit. */
  threshold: number;
  /** The first opening lasts this long, each further one in a row twice as long. Milliseconds. */
  firstPause: number;
  maxPause: number;
}

export const BREAKER: BreakerSettings = { threshold: 3, firstPause: 1_000, maxPause: 60_000 };

/** Opens on consecutive failures, lets one probe through when its time has come, and closes when that succeeds. */
export class CircuitBreaker {
  private current: Circuit = { state: 'closed', failures: 0 };
  /** In a row, without a success of more than a probe in between. */
  private openings = 0;

  /** @param onChange called after the circuit has opened anew (`down`) or closed (`up`) */
  constructor(
    private readonly settings: BreakerSettings,
    private readonly onChange: (change: 'down' | 'up') => void,
  ) {}

  get circuit(): Circuit {
    return this.current;
  }

  /** True makes the caller the one who probes, and tells `succeeded`, `passed` or `failed`. */
  probe(): boolean {
    if (this.current.state !== 'open') return false;
    const { since, openings, reason } = this.current;
    this.current = { state: 'half-open', since, openings, reason };
    return true;
  }

  succeeded(): void {
    this.openings = 0;
    this.close(0);
  }

  /** A check has passed. It closes the circuit on trial: the next failure opens it again, for longer. */
  passed(): void {
    if (this.current.state !== 'closed') this.close(this.settings.threshold - 1);
  }

  failed(reason: string): void {
    const { current } = this;
    if (current.state === 'closed') {
      const failures = current.failures + 1;
      if (failures < this.settings.threshold) this.current = { state: 'closed', failures };
      else {
        this.open(Date.now(), this.openings + 1, reason);
        this.onChange('down');
      }
    } else if (current.state === 'half-open') {
      this.open(current.since, current.openings + 1, reason);
    }
  }

  private close(failures: number): void {
    const was = this.current.state;
    this.current = { state: 'closed', failures };
    if (was !== 'closed') this.onChange('up');
  }

  private open(since: number, openings: number, reason: string): void {
    this.openings = openings;
    const pause = Math.min(this.settings.maxPause, this.settings.firstPause * 2 ** Math.min(openings - 1, 30));
    this.current = { state: 'open', since, until: Date.now() + pause, openings, reason };
  }
}
