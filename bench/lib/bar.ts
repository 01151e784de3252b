/** What a figure has to reach, and what it would be good to reach. */
export interface Bar {
  what: string;
  measured: number;
  limit: number;
  aim: number;
  /** Stands behind the figures, such as `'×'`. */
  unit: string;
  /** Which way is better. Default `lower`. */
  better?: 'lower' | 'higher';
}

export type Verdict = 'aim met' | 'met' | 'not met';

export function verdict({ measured, limit, aim, better = 'lower' }: Bar): Verdict {
  const reaches = (mark: number) => (better === 'lower' ? measured <= mark : measured >= mark);
  return reaches(aim) ? 'aim met' : reaches(limit) ? 'met' : 'not met';
}

export function isMet(bar: Bar): boolean {
  return verdict(bar) !== 'not met';
}

/** `met      first after boot: 2.08 RTT (bar 2.2, aim 2.05)` */
export function describeBar(bar: Bar): string {
  const { what, measured, limit, aim, unit } = bar;
  return `${verdict(bar).padEnd(8)} ${what}: ${measured.toFixed(2)} ${unit} (bar ${limit}, aim ${aim})`;
}
