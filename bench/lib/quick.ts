/** `npm run bench -- <name> --quick`: a short try, whose figures are worth nothing. */
export const quick = process.argv.includes('--quick');

/** @returns the second when only a short try was asked for */
export function atLength<T>(full: T, short: T): T {
  return quick ? short : full;
}
