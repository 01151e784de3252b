import { parse, type CsvError } from 'csv-parse';
import { Readable } from 'node:stream';
import { MailError, MailValidationError, reasonOf } from '../errors.js';
import { csvRecord, plainCell, separatorOf } from '../message/csv.js';
import { SUPPRESSION_REASONS, type Suppression, type SuppressionReason } from './suppression.js';

/** A file's parts, such as a Node.js stream gives; text is UTF-8. */
export type CsvSource = AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>;

/** A row of the file as it was written, or what is wrong with it. */
export type CsvRow = { line: number; cells: SuppressionCells } | { line: number; fault: string };

/** What a row says. An empty cell says nothing. */
export interface SuppressionCells {
  address: string;
  scope?: string;
  reason?: SuppressionReason;
  since?: Date;
  note?: string;
}

type Column = keyof SuppressionCells;

const COLUMNS: readonly Column[] = ['address', 'scope', 'reason', 'since', 'note'];

/** What the exports of others call it, without regard to case, spaces, `_` and `-`. */
const NAMES: Readonly<Record<Column, readonly string[]>> = {
  address: ['address', 'email', 'emailaddress', 'recipient', 'recipientaddress'],
  scope: ['scope'],
  reason: ['reason', 'suppressionreason'],
  since: ['since', 'created', 'createdat', 'lastupdatetime', 'timestamp', 'date'],
  note: ['note', 'error', 'description', 'details'],
};

const REASONS: Readonly<Record<string, SuppressionReason>> = {
  ...Object.fromEntries(SUPPRESSION_REASONS.map((reason) => [plainName(reason), reason])),
  bounce: 'hard-bounce',
  bounced: 'hard-bounce',
  permanent: 'hard-bounce',
  spam: 'complaint',
  spamcomplaint: 'complaint',
  spamreport: 'complaint',
  unsubscribe: 'unsubscribed',
  manualsuppression: 'manual',
};

/** Of one row; a quote that is never closed would else take in the rest of the file. */
const MAX_ROW = 64 * 1024;

/** Of a file, for its heading. Characters. */
const HEADING = 64 * 1024;

/** Rows in a row that cannot be read, of which it is kept what is wrong with them; a file may have no others. */
const MAX_SKIPPED = 1_000;

/** The list as a file: RFC 4180, UTF-8, its columns in the first row. */
export async function* suppressionsToCsv(suppressions: AsyncIterable<Suppression>): AsyncIterable<string> {
  yield csvRecord(COLUMNS);
  for await (const { address, scope, reason, since, note = '' } of suppressions) {
    yield csvRecord([address, scope, reason, since.toISOString(), note]);
  }
}

/**
 * Reads a file of this list's or of a provider's, as fast as it is taken. Its cells are separated by commas, semicolons or tabs.
 *
 * @throws MailValidationError its first row names no column of addresses
 * @throws MailError (`SOURCE_FAILED`) it cannot be read on
 */
export async function* csvRows(source: CsvSource): AsyncIterable<CsvRow> {
  const skipped: CsvRow[] = [];
  const { start, whole } = await beginning(source);
  let more = 0;
  const skip = (error?: CsvError): undefined => {
    if (skipped.length < MAX_SKIPPED) skipped.push({ line: lineOf(error), fault: faultOf(error) });
    else more++;
  };
  const told = function* (): Iterable<CsvRow> {
    yield* skipped.splice(0);
    for (; more > 0; more--) yield { line: 0, fault: 'is no CSV' };
  };
  const parser = parse({
    bom: true,
    delimiter: separatorOf(start),
    info: true,
    trim: true,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    max_record_size: MAX_ROW,
    on_skip: skip,
  });
  const bytes = Readable.from(whole, { objectMode: true });
  bytes.on('error', (error) => parser.destroy(error));
  bytes.pipe(parser);
  let columns: (Column | undefined)[] | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      yield* told();
      if (columns) yield rowOf(record, columns, info.lines);
      else columns = columnsOf(record);
    }
  } catch (error) {
    throw unread(error);
  } finally {
    bytes.destroy();
  }
  yield* told();
}

/** The text that it begins with, at least its heading, and all of it. @throws MailError */
async function beginning(source: CsvSource): Promise<{ start: string; whole: AsyncIterable<string | Uint8Array> }> {
  const parts = partsOf(source);
  const read: (string | Uint8Array)[] = [];
  let start = '';
  try {
    while (!/[\r\n]/.test(start.trimStart()) && start.length < HEADING) {
      const { done, value } = await parts.next();
      if (done) break;
      read.push(value);
      start += typeof value === 'string' ? value : Buffer.from(value).toString('utf8');
    }
  } catch (error) {
    throw unread(error);
  }
  const whole = async function* (): AsyncIterable<string | Uint8Array> {
    yield* read;
    yield* parts;
  };
  return { start, whole: whole() };
}

async function* partsOf(source: CsvSource): AsyncGenerator<string | Uint8Array, void, undefined> {
  yield* typeof source === 'string' ? [source] : source;
}

function unread(error: unknown): MailError {
  if (error instanceof MailError) return error;
  return new MailError(`The file could not be read on: ${reasonOf(error)}`, {
    permanent: false,
    code: 'SOURCE_FAILED',
    cause: error,
  });
}

/** @throws MailValidationError */
function columnsOf(header: readonly string[]): (Column | undefined)[] {
  const columns = header.map((cell) => COLUMNS.find((column) => NAMES[column].includes(plainName(cell))));
  if (columns.includes('address')) return columns;
  const message = `its first row names no column address or email, but ${JSON.stringify(header.join(',').slice(0, 200))}`;
  throw new MailValidationError([{ path: 'line 1', message }], 'file');
}

function rowOf(record: readonly string[], columns: readonly (Column | undefined)[], line: number): CsvRow {
  const said: Partial<Record<Column, string>> = {};
  for (const [index, column] of columns.entries()) {
    const text = plainCell(record[index] ?? '');
    if (column && text !== '') said[column] ??= text;
  }
  const { address, scope, reason, since, note } = said;
  if (address === undefined) return { line, fault: 'address: is empty' };
  const at = since === undefined ? undefined : timeOf(since);
  if (at && Number.isNaN(at.getTime())) return { line, fault: `since: ${quote(since)} is not a time` };
  const why = reason === undefined ? {} : reasonIn(reason);
  if (!why) return { line, fault: `reason: ${quote(reason)} is none of ${SUPPRESSION_REASONS.join(', ')}` };
  const cells: SuppressionCells = { address, ...(note === undefined ? {} : { note }), ...why };
  if (scope !== undefined) cells.scope = scope;
  if (at) cells.since = at;
  return { line, cells };
}

/** SendGrid's exports of bounces have the server's reply there. */
function reasonIn(text: string): Pick<SuppressionCells, 'reason' | 'note'> | undefined {
  const reason = REASONS[plainName(text)];
  if (reason) return { reason };
  return /^5(\d\d|\.)/.test(text) ? { reason: 'hard-bounce', note: text } : undefined;
}

/** ISO 8601, where it has no zone in UTC, or seconds or milliseconds since 1970. */
function timeOf(text: string): Date {
  if (/^\d{9,11}(\.\d+)?$/.test(text)) return new Date(Number(text) * 1_000);
  if (/^\d{12,14}$/.test(text)) return new Date(Number(text));
  const local = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)$/.exec(text);
  return new Date(local ? `${local[1]}T${local[2]}Z` : text);
}

function plainName(text: string): string {
  return text.toLowerCase().replace(/[\s_-]/g, '');
}

function quote(text: string | undefined): string {
  return JSON.stringify((text ?? '').slice(0, 100));
}

function lineOf(error: CsvError | undefined): number {
  return Number((error as { lines?: unknown } | undefined)?.lines ?? 0);
}

function faultOf(error: CsvError | undefined): string {
  return error?.code === 'CSV_MAX_RECORD_SIZE'
    ? `is longer than ${MAX_ROW} characters, or a quote is not closed`
    : `is no CSV: ${error?.message ?? 'it cannot be read'}`;
}
