import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { parse, type CsvError, type Parser } from 'csv-parse';
import { reasonOf } from '../../errors.js';
import { plainCell, separatorOf } from '../../message/csv.js';
import type { Limits } from '../../message/limits.js';
import type { RecipientInput } from '../../message/message.js';
import { parseRecipient, recipientKey } from '../../message/recipient.js';
import { KeySet } from '../../queue/key-set.js';
import { UsageError } from '../failure.js';

/** A row of a CSV file: somebody to be served, or why nobody can be. */
export type Row = ServedRow | InvalidRow;

export interface ServedRow {
  line: number;
  recipient: RecipientInput;
  /** Of two rows with the same, the first is served. */
  key: string;
}

export interface InvalidRow {
  /** Where it ends, from 1. */
  line: number;
  /** What stands where the address should. */
  address: string;
  problem: string;
}

/** What is in a file. */
export interface Survey {
  /** Of different addresses. */
  recipients: number;
  /** Further rows with an address of theirs. */
  duplicates: number;
  invalid: number;
  /** The first of them. */
  examples: InvalidRow[];
  /** SHA-256 of its bytes, in hex. */
  digest: string;
  first?: RecipientInput;
}

/** Columns by their names in the heading; an address is found under common names. */
export interface ColumnNames {
  address?: string;
  locale?: string;
}

interface Columns {
  names: string[];
  address: number;
  name: number;
  locale: number;
}

const ADDRESS = ['email', 'e-mail', 'address', 'to', 'email address', 'mail'];
/** Of a file, for its heading. */
const HEADING_BYTES = 64 * 1024;
/** A quote that is never closed takes no more of the file into one row. Characters. */
const LONGEST_ROW = 1024 * 1024;
/** Of it at a time. */
const READ_BYTES = 256 * 1024;
const EXAMPLES = 100;
/** Rows. */
const TOLD_EVERY = 10_000;
/** Of the parser: with them, what follows is lost. */
const UNCLOSED: ReadonlySet<string | undefined> = new Set(['CSV_QUOTE_NOT_CLOSED', 'CSV_MAX_RECORD_SIZE']);
/** Stands for bytes that are no UTF-8. */
const NOT_UTF8 = '\ufffd';

/**
 * The recipients of a campaign in a CSV file with a heading (RFC 4180; also with semicolons or tabs, as spreadsheets write it).
 * It is read a row at a time, and may be read more than once.
 */
export class RecipientFile {
  private constructor(
    private readonly path: string,
    private readonly separator: string,
    private readonly places: Columns,
    private readonly limits: Limits,
  ) {}

  /** @throws UsageError there is no such file, or no column with addresses */
  static async open(path: string, limits: Limits, wanted: ColumnNames = {}): Promise<RecipientFile> {
    const start = await beginningOf(path);
    const separator = separatorOf(start.toString('utf8'));
    const names = await headingOf(start, separator);
    return new RecipientFile(path, separator, columnsOf(basename(path), names, wanted), limits);
  }

  get name(): string {
    return basename(this.path);
  }

  /** As the heading names them. */
  get columns(): readonly string[] {
    return this.places.names;
  }

  /**
   * All rows but empty ones, in order.
   *
   * @throws UsageError rows cannot be told apart, since a quote is missing: nobody knows who is in them
   */
  async *rows(hash?: Hash): AsyncIterable<Row> {
    const broken: InvalidRow[] = [];
    let end = 0;
    const skip = (error: CsvError | undefined): undefined => {
      const { lines } = parser.info;
      const lost = lines > end + 1 || UNCLOSED.has(error?.code);
      if (lost)
        throw new UsageError(`${this.name}: a quote is missing in line ${end + 1} or after it, up to line ${lines}.`);
      // The parser may find several faults in a row.
      if (lines > end) broken.push({ line: lines, address: '', problem: 'has a misplaced quote' });
      end = lines;
    };
    const parser: Parser = parse({
      bom: true,
      delimiter: this.separator,
      max_record_size: LONGEST_ROW,
      relax_column_count: true,
      skip_records_with_error: true,
      on_skip: skip,
      on_record: (cells, { lines }) => [String((end = lines)), ...cells],
    });
    const source = createReadStream(this.path, { highWaterMark: READ_BYTES });
    if (hash) source.on('data', (chunk) => hash.update(chunk));
    source.on('error', (error) => parser.destroy(error));
    source.pipe(parser);
    let isHeading = true;
    try {
      for await (const [text, ...cells] of parser as AsyncIterable<string[]>) {
        const line = Number(text);
        while (broken[0] && broken[0].line < line) yield broken.shift()!;
        if (cells.every((cell) => cell.trim() === '')) continue;
        if (!isHeading) yield this.rowOf(cells, line);
        isHeading = false;
      }
      yield* broken;
    } finally {
      source.destroy();
    }
  }

  /** Those who can be served: all of them whenever it is iterated, also where the last time ended midway. */
  recipients(survey: Pick<Survey, 'recipients' | 'duplicates'>): AsyncIterable<RecipientInput> {
    return { [Symbol.asyncIterator]: () => this.servedRows(survey.recipients + survey.duplicates) };
  }

  /** @throws UsageError there are others than the survey has seen */
  private async *servedRows(expected: number): AsyncGenerator<RecipientInput, void, undefined> {
    let rows = 0;
    for await (const row of this.rows()) {
      if (!('recipient' in row)) continue;
      rows++;
      yield row.recipient;
    }
    if (rows === expected) return;
    throw new UsageError(`${this.name} was changed while it was read: it had ${expected} recipients, and has ${rows}`);
  }

  async *invalid(): AsyncIterable<InvalidRow> {
    for await (const row of this.rows()) if ('problem' in row) yield row;
  }

  /** @throws the signal's reason */
  async survey(onProgress: (rows: number) => void = () => undefined, signal?: AbortSignal): Promise<Survey> {
    const hash = createHash('sha256');
    const seen = new KeySet();
    const survey: Omit<Survey, 'digest'> = { recipients: 0, duplicates: 0, invalid: 0, examples: [] };
    for await (const row of this.rows(hash)) {
      signal?.throwIfAborted();
      if ('recipient' in row) {
        survey.first ??= row.recipient;
        if (seen.add(row.key)) survey.recipients++;
        else survey.duplicates++;
      } else {
        survey.invalid++;
        if (survey.examples.length < EXAMPLES) survey.examples.push(row);
      }
      const rows = survey.recipients + survey.duplicates + survey.invalid;
      if (rows % TOLD_EVERY === 0) onProgress(rows);
    }
    return { ...survey, digest: hash.digest('hex') };
  }

  private rowOf(cells: string[], line: number): Row {
    const { names, address: at, name: nameAt, locale: localeAt } = this.places;
    const address = plainCell((cells[at] ?? '').trim());
    const invalid = (problem: string): InvalidRow => ({ line, address, problem });
    if (cells.length !== names.length) return invalid(`has ${cells.length} cells, the heading has ${names.length}`);
    if (cells.some((cell) => cell.includes(NOT_UTF8))) return invalid('is not UTF-8; save the file in that encoding');
    if (address === '') return invalid('has no address');
    const name = (cells[nameAt] ?? '').replace(/\s+/g, ' ').trim();
    const locale = (cells[localeAt] ?? '').trim();
    const recipient: RecipientInput = {
      to: name === '' ? address : { name, address },
      context: Object.fromEntries(names.map((column, index) => [column, cells[index]])),
    };
    if (locale !== '') recipient.locale = locale;
    const parsed = parseRecipient(recipient, 0, this.limits, {});
    if (!('faults' in parsed)) return { line, recipient, key: recipientKey(parsed.recipient) };
    return invalid(parsed.faults.map(({ message }) => message).join('; '));
  }
}

/** @throws UsageError */
async function beginningOf(path: string): Promise<Buffer> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADING_BYTES), 0, HEADING_BYTES, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new UsageError(`${basename(path)} cannot be read: ${reasonOf(error)}.`, { cause: error });
  }
}

async function headingOf(start: Buffer, separator: string): Promise<string[]> {
  const parser = parse({ bom: true, delimiter: separator, to: 1, relax_column_count: true, skip_empty_lines: true });
  parser.end(start);
  for await (const cells of parser as AsyncIterable<string[]>) return cells.map((cell) => cell.trim());
  return [];
}

/** @throws UsageError */
function columnsOf(file: string, names: string[], wanted: ColumnNames): Columns {
  const known = names.length === 0 ? 'It is empty' : `Its columns are ${names.join(', ')}`;
  const fail = (problem: string): never => {
    throw new UsageError(`${file} ${problem}. ${known}.`);
  };
  const find = (name: string): number => names.findIndex((column) => column.toLowerCase() === name.toLowerCase());
  const named = (name: string | undefined): number => {
    const index = name === undefined ? -1 : find(name);
    return name !== undefined && index < 0 ? fail(`has no column ${name}`) : index;
  };
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) fail(`has two columns ${JSON.stringify(twice)}`);
  const common = ADDRESS.map(find).find((index) => index >= 0);
  const address = wanted.address === undefined ? common : named(wanted.address);
  return {
    names,
    address: address ?? fail('has no column email, address or to; name it with --address-column'),
    name: find('name'),
    locale: named(wanted.locale),
  };
}
