import type { Summary } from './statistics.js';

/** `12,345`, and `0.123` of what is small. */
export function number(figure: number): string {
  const digits = Math.abs(figure) >= 100 ? 0 : Math.abs(figure) >= 10 ? 1 : Math.abs(figure) >= 1 ? 2 : 3;
  return figure.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** `1,450 (1,390 to 1,502)` */
export function range({ median, min, max }: Summary): string {
  return `${number(median)} (${number(min)} to ${number(max)})`;
}

/** `20 KB` */
export function size(bytes: number): string {
  return bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MB` : `${bytes / 2 ** 10} KB`;
}
