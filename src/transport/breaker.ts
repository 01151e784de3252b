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

  /** @param onChange called after the circuit has opened anew (`down`) or closed (`up`) */
  constructor(
    private readonly settings: BreakerSettings,
    private readonly onChange: (change: 'down' | 'up') => void,
  ) {}

  get circuit(): Circuit {
    return this.current;
  }

  /** True makes the caller the one who probes, and tells `succeeded` or `failed`. */
  probe(): boolean {
    if (this.current.state !== 'open') return false;
    const { since, openings, reason } = this.current;
    this.current = { state: 'half-open', since, openings, reason };
    return true;
  }

  succeeded(): void {
    const was = this.current.state;
    this.current = { state: 'closed', failures: 0 };
    if (was !== 'closed') this.onChange('up');
  }

  failed(reason: string): void {
    const { current } = this;
    if (current.state === 'closed') {
      const failures = current.failures + 1;
      if (failures < this.settings.threshold) this.current = { state: 'closed', failures };
      else {
        this.open(Date.now(), 1, reason);
        this.onChange('down');
      }
    } else if (current.state === 'half-open') {
      this.open(current.since, current.openings + 1, reason);
    }
  }

  private open(since: number, openings: number, reason: string): void {
    const pause = Math.min(this.settings.maxPause, this.settings.firstPause * 2 ** Math.min(openings - 1, 30));
    this.current = { state: 'open', since, until: Date.now() + pause, openings, reason };
  }
}
