const { stdout } = process;

const bold = (text: string): string => (stdout.isTTY ? `\x1b[1m${text}\x1b[22m` : text);
const dim = (text: string): string => (stdout.isTTY ? `\x1b[2m${text}\x1b[22m` : text);

const LABEL = 38;
const BAR = 20;

export const milliseconds = (value: number): string =>
  value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
export const count = (value: number): string => value.toLocaleString('en-US');

export function heading(text: string): void {
  stdout.write(`\n  ${bold(text)}\n\n`);
}

export function line(text = ''): void {
  stdout.write(text === '' ? '\n' : `  ${text}\n`);
}

/** Says what is being done, does it, and says how long it took. */
export async function step<T>(label: string, work: () => Promise<T>): Promise<T> {
  stdout.write(`  ${label.padEnd(LABEL)}`);
  const started = performance.now();
  try {
    const result = await work();
    stdout.write(`${milliseconds(performance.now() - started).padStart(8)}\n`);
    return result;
  } catch (error) {
    stdout.write('failed\n');
    throw error;
  }
}

/** A bar that grows; where output is no terminal, a row of dots. */
export class Progress {
  private dots = 0;

  constructor(private readonly label: string) {
    if (!stdout.isTTY) stdout.write(`  ${label} `);
  }

  show(done: number, total: number, note: string): void {
    const filled = Math.floor((done / Math.max(1, total)) * BAR);
    if (stdout.isTTY) {
      const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled);
      stdout.write(`\r\x1b[K  ${this.label}  ${bar}  ${count(done)} of ${count(total)}  ${dim(note)}`);
    } else if (filled > this.dots) {
      stdout.write('.'.repeat(filled - this.dots));
      this.dots = filled;
    }
  }

  end(): void {
    stdout.write('\n');
  }
}

export type Row = readonly [name: string, value: string, note: string];

export function table(rows: readonly Row[]): void {
  const width = (column: 0 | 1): number => Math.max(...rows.map((row) => row[column].length));
  stdout.write('\n');
  for (const [name, value, note] of rows) {
    stdout.write(`  ${name.padEnd(width(0))}   ${bold(value.padStart(width(1)))}   ${dim(note)}\n`);
  }
  stdout.write('\n');
}
