/** A spreadsheet takes a cell that begins so for a formula, and runs it; what has an apostrophe before it would be taken for one that we put there. */
const FORMULA = /^'*[=+\-@\t\r]/;

/**
 * A record of a CSV file (RFC 4180). What strangers wrote may not become a formula where the file is opened in a
 * spreadsheet: an apostrophe goes before such a cell.
 */
export function csvRecord(cells: readonly string[]): string {
  return `${cells.map(cellOf).join(',')}\r\n`;
}

function cellOf(text: string): string {
  const cell = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

const SEPARATORS = [',', ';', '\t'];

/** What separates a file's cells: what stands most often in its first line that has anything, outside of quotes. */
export function separatorOf(start: string): string {
  const [heading = ''] = start.trimStart().split(/[\r\n]/, 1);
  const bare = heading.replace(/"[^"]*"/g, '');
  const counts = SEPARATORS.map((separator) => bare.split(separator).length);
  return SEPARATORS[counts.indexOf(Math.max(...counts))]!;
}

/** What a cell said before `csvRecord` wrote it. */
export function plainCell(cell: string): string {
  return cell.startsWith("'") && FORMULA.test(cell) ? cell.slice(1) : cell;
}
