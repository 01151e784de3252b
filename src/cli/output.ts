import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { CommanderError } from 'commander';
import { reasonOf } from '../errors.js';
import { printable } from './text.js';

/** The standard streams of a process. */
export interface Streams {
  stdout: Writable;
  stderr: Writable;
}

/** What a command has found out. */
export interface Answer {
  /** For JSON. */
  document: object;
  text: () => string;
  /** Default: 0. */
  exitCode?: number;
}

/** To its beginning, and empty (ECMA-48). */
const CLEAR_LINE = '\r\x1b[K';

/** Where the answer goes, and in which form: text for a person, or JSON for a program. */
export class Output {
  private shown = '';

  /** @param json one document, or a line each where there are many */
  constructor(
    private readonly streams: Streams,
    readonly json: boolean,
    readonly verbose: boolean,
  ) {}

  get stdout(): Writable {
    return this.streams.stdout;
  }

  /** Columns of the terminal that standard error leads to. Undefined: it leads elsewhere, or nobody reads along. */
  get columns(): number | undefined {
    const { isTTY, columns = 80 } = this.streams.stderr as Partial<WriteStream>;
    return isTTY === true && !this.json ? columns : undefined;
  }

  /** The whole answer. */
  print({ document, text }: Answer): void {
    this.show('');
    this.streams.stdout.write(`${this.json ? JSON.stringify(document) : text()}\n`);
  }

  /** Shows what changes all the time in the last line of a terminal, in place of what was shown there. */
  show(line: string): void {
    if (this.columns === undefined || line === this.shown) return;
    this.shown = printable(line).slice(0, this.columns - 1);
    this.streams.stderr.write(`${CLEAR_LINE}${this.shown}`);
  }

  /** What is no part of the answer. */
  tell(line: string): void {
    const { shown } = this;
    this.show('');
    this.streams.stderr.write(`${withoutPasswords(printable(line))}\n`);
    this.show(shown);
  }

  /** Asks a person, in the terminal. */
  async ask(question: string, answers: Readable): Promise<string> {
    // The terminal keeps Ctrl-C to itself otherwise.
    const dialog = createInterface({ input: answers, output: this.streams.stderr, terminal: false });
    try {
      return await dialog.question(question);
    } finally {
      dialog.close();
    }
  }

  fail(error: unknown): void {
    this.show('');
    const message = withoutPasswords(printable(messageOf(error)));
    const line = this.json ? JSON.stringify({ error: { code: codeOf(error), message } }) : `error: ${message}`;
    this.streams.stderr.write(`${line}\n`);
    if (this.verbose) this.streams.stderr.write(`${withoutPasswords(stackOf(error))}\n`);
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof CommanderError)) return reasonOf(error);
  return `${error.message.replace(/^error: /, '').replace(/(?<![.)])$/, '.')} See priority-mail --help.`;
}

/** A stable, machine-readable reason. */
function codeOf(error: unknown): string {
  if (error instanceof CommanderError) return 'USAGE';
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : 'UNEXPECTED';
}

/** Where it was thrown, and its causes. Only the frames of each: a syntax error's stack also quotes the file. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const own = [`${error.name}: ${printable(error.message)}`, ...frames].join('\n');
  return error.cause === undefined
    ? own
    : `${own}\ncaused by ${stackOf(error.cause) || printable(reasonOf(error.cause))}`;
}

/** What stands before the @ of a URL, in whatever a library or a configuration said. */
function withoutPasswords(text: string): string {
  return text.replace(/\b([a-z][a-z\d+.-]*:\/\/)[^\s"'<>]*@/gi, '$1***@');
}
