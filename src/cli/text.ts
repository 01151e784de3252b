/** Text for a person: plain, aligned, and safe to show in a terminal whatever a mail server has said. */

/** One line without control characters, which a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}

/** The same of text that keeps its lines. */
export function printableLines(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/(?![\n\t])\p{Cc}/gu, ' ');
}

/** Rows of cells, each column as wide as its widest cell. The first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable));
  const widths = cells.reduce<number[]>(
    (known, row) => row.map((cell, column) => Math.max(cell.length, known[column] ?? 0)),
    [],
  );
  return cells
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '))
    .map(trimmed)
    .join('\n');
}

/** A heading and what is known, a line each. What is undefined is left out. */
export function facts(heading: string, known: Record<string, string | undefined>): string {
  const rows = Object.entries(known).flatMap(([name, value]) => (value === undefined ? [] : [[`  ${name}`, value]]));
  const width = Math.max(...rows.map(([name = '']) => name.length));
  const lines = rows.map(([name = '', value = '']) => trimmed(`${name.padEnd(width)}  ${printable(value)}`));
  return [printable(heading), ...lines].join('\n');
}

export function count(number: number): string {
  return number.toLocaleString('en');
}

/** To the second, in UTC. */
export function time(date: Date): string {
  return date
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

/** How long ago, in its largest unit. */
export function age(date: Date, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - date.getTime()) / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

function trimmed(line: string): string {
  return line.trimEnd();
}
