/** What a figure has to reach, and what it would be good to reach. Lower is better. */
export interface Bar {
  what: string;
  measured: number;
  limit: number;
  aim: number;
  /** Stands behind the figures, such as `'×'`. */
  unit: string;
}

export function isMet({ measured, limit }: Bar): boolean {
  return measured <= limit;
}

/** `met      first after boot: 2.08 RTT (bar 2.2, aim 2.05)` */
export function describeBar(bar: Bar): string {
  const { what, measured, limit, aim, unit } = bar;
  const verdict = isMet(bar) ? 'met' : 'not met';
  return `${verdict.padEnd(8)} ${what}: ${measured.toFixed(2)} ${unit} (bar ${limit}, aim ${aim})`;
}
