import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { MailStatus } from '../../queue/status.js';
import { UsageError } from '../failure.js';
import { reasonOf } from '../../errors.js';
import { csvRecord } from '../../message/csv.js';
import { statOf, writeCsvFile } from '../csv-file.js';
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
  const written = { messages: 0, invalid: 0 };
  const rows = async function* (): AsyncIterable<string> {
    yield* csvOf(messages, () => written.messages++);
    for await (const { line, address, problem } of invalid) {
      written.invalid++;
      yield csvRecord([address, '', 'invalid', `line ${line}: ${problem}`, '0', '']);
    }
  };
  const lacking = (): number => Math.max(0, total - written.messages);
  const isWritten = await writeCsvFile(file, rows(), async () => lacking() === 0 || !(await statOf(file)));
  const missing = lacking() > 0 ? { missing: lacking() } : {};
  return { file, recipients: isWritten ? written.messages + written.invalid : 0, ...missing };
}

/**
 * @param source the file of the recipients
 * @throws UsageError nothing can be written there, or what is there is no report
 */
export async function checkReport(file: string, source: string): Promise<void> {
  const [there, read] = await Promise.all([statOf(file), statOf(source)]);
  if (there?.isDirectory()) throw new UsageError(`The report ${file} cannot be written: it is a folder.`);
  // Under whatever name.
  if (there && read && there.ino === read.ino && there.dev === read.dev) {
    throw new UsageError(`The report would replace the recipients in ${file}. Give it another name.`);
  }
  try {
    await access(dirname(file), constants.W_OK);
  } catch (error) {
    throw new UsageError(`The report ${file} cannot be written: ${reasonOf(error)}.`, { cause: error });
  }
}
