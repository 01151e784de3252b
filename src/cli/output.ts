import type { Writable } from 'node:stream';
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

/** Where the answer goes, and in which form: text for a person, or JSON for a program. */
export class Output {
  /** @param json one document, or a line each where there are many */
  constructor(
    private readonly streams: Streams,
    readonly json: boolean,
    readonly verbose: boolean,
  ) {}

  get stdout(): Writable {
    return this.streams.stdout;
  }

  /** The whole answer. */
  print({ document, text }: Answer): void {
    this.streams.stdout.write(`${this.json ? JSON.stringify(document) : text()}\n`);
  }

  /** What is no part of the answer. */
  tell(line: string): void {
    this.streams.stderr.write(`${withoutPasswords(printable(line))}\n`);
  }

  fail(error: unknown): void {
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
