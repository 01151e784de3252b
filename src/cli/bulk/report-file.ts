import { createWriteStream } from 'node:fs';
import { access, constants, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { MailStatus } from '../../queue/status.js';
import { UsageError } from '../failure.js';
import { reasonOf } from '../../errors.js';
import { csvRecord } from '../../message/csv.js';
import { csvOf } from '../recipient-list.js';
import type { InvalidRow } from './recipient-file.js';

/** Who is in a report. */
export interface ReportContent {
  /** The messages that the queue knows of, a recipient each. */
  messages: AsyncIterable<MailStatus>;
  /** How many it should know. */
  total: number;
  /** Those that were never queued. */
  invalid: AsyncIterable<InvalidRow>;
}

export interface WrittenReport {
  file: string;
  /** In it. None: it was left as it was. */
  recipients: number;
  /** Recipients past retention, of whom nothing is known any more but how many were served. */
  missing?: number;
}

/**
 * Writes what became of each recipient as CSV. The file is there as a whole, or as it was before. One that is there stays
 * where messages are past retention: it knows more.
 */
export async function writeReport(file: string, { messages, total, invalid }: ReportContent): Promise<WrittenReport> {
  const draft = `${file}.${process.pid}.tmp`;
  const written = { messages: 0, invalid: 0 };
  const rows = async function* (): AsyncIterable<string> {
    yield* csvOf(messages, () => written.messages++);
    for await (const { line, address, problem } of invalid) {
      written.invalid++;
      yield csvRecord([address, '', 'invalid', `line ${line}: ${problem}`, '0', '']);
    }
  };
  try {
    await pipeline(Readable.from(rows()), createWriteStream(draft, { mode: 0o600 }));
    const lacking = total - written.messages;
    if (lacking > 0 && (await isThere(file))) return { file, recipients: 0, missing: lacking };
    await rename(draft, file);
    return { file, recipients: written.messages + written.invalid, ...(lacking > 0 ? { missing: lacking } : {}) };
  } finally {
    await rm(draft, { force: true });
  }
}

/** @throws UsageError nothing can be written there */
export async function checkReport(file: string): Promise<void> {
  try {
    await access(dirname(file), constants.W_OK);
  } catch (error) {
    throw new UsageError(`The report ${file} cannot be written: ${reasonOf(error)}.`, { cause: error });
  }
}

function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
