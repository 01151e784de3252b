const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, or a string of a number and a unit: `'250ms'`, `'30s'`, `'15m'`, `'24h'`, `'7d'`. */
export type Duration = number | `${number}${keyof typeof UNITS}`;

/** Milliseconds, or undefined when it is not a duration. Negative and infinite ones are not. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)\s?(ms|s|m|h|d)$/.exec(value);
  if (!match) return undefined;
  const milliseconds = Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]);
  return Number.isFinite(milliseconds) ? milliseconds : undefined;
}
