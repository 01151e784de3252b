import { MailConfigError, MailValidationError, type Fault } from '../errors.js';
import { csvRows, suppressionsToCsv, type CsvSource, type SuppressionCells } from '../feedback/suppression-csv.js';
import {
  isSuppressionScope,
  SCOPES,
  SUPPRESSION_REASONS,
  type Suppression,
  type SuppressionFilter,
  type SuppressionList,
  type SuppressionReason,
  type SuppressionScope,
} from '../feedback/suppression.js';
import { isMailAddress } from '../message/address.js';

/** An address to suppress. */
export interface SuppressionInput {
  address: string;
  /** Default `'manual'`. */
  reason?: SuppressionReason;
  /** `'all'`, `'bulk'` or `'list:<name>'`. Default: `'all'` of a hard bounce and by hand, `'bulk'` of the others. */
  scope?: SuppressionScope;
  /** Default: now. */
  since?: Date;
  /** What the server said, or who did it. The first 500 characters are kept. */
  note?: string;
}

/** What becomes of the rows of a file that do not say it themselves. */
export type CsvDefaults = Pick<SuppressionInput, 'reason' | 'scope'>;

/** What came of a file. */
export interface CsvImport {
  /** Rows that are in the list now. */
  added: number;
  /** Rows that are not. */
  rejected: number;
  /** What is wrong with the first 100 of those. */
  faults: { line: number; message: string }[];
}

/** Rows that are written at a time. */
const CHUNK = 500;
const TOLD_FAULTS = 100;

/**
 * The addresses that get no more mail, for all processes on the same queue.
 *
 * ```ts
 * await mail.suppressions.add({ address: 'ann@example.com', note: 'asked by phone' });
 * ```
 *
 * Every call rejects with a `MailQueueUnavailableError` while the store cannot be reached, and with a `MailConfigError` with
 * `queue: false`, unless the option `suppression.list` gives a list.
 */
export class MailSuppressions {
  /** @internal */
  constructor(private readonly suppressions: SuppressionList | undefined) {}

  /**
   * Suppresses one address, or several. What is there for the same address, scope and reason is replaced.
   *
   * @throws MailValidationError every fault; nothing was added
   */
  async add(input: SuppressionInput | readonly SuppressionInput[]): Promise<void> {
    const inputs = Array.isArray(input) ? (input as readonly SuppressionInput[]) : [input as SuppressionInput];
    const faults: Fault[] = [];
    const now = new Date();
    const parsed = inputs.map((one, index) => parse(one, Array.isArray(input) ? `[${index}].` : '', now, faults));
    if (faults.length > 0) throw new MailValidationError(faults, 'suppression');
    await this.own().add(parsed);
  }

  /**
   * Takes away what is known of an address, or what of it is of one scope or reason. An unsubscription stays unless its reason is
   * named.
   *
   * ```ts
   * await mail.suppressions.remove('ann@example.com', { reason: 'unsubscribed', scope: 'list:weekly' });
   * ```
   *
   * @returns whether there was something
   */
  async remove(address: string, which?: SuppressionFilter): Promise<boolean> {
    return this.own().remove(address, which);
  }

  /** What is known of an address: at most one of each scope and reason. */
  async get(address: string): Promise<Suppression[]> {
    return this.own().get(address);
  }

  /** All of them, in no order, read as fast as they are taken. */
  list(): AsyncIterable<Suppression> {
    return this.own().list();
  }

  /**
   * Adds the rows of a CSV file, which is read as fast as the store takes them: one that `exportCsv()` made, or another
   * provider's. The first row names the columns; only an address is needed.
   *
   * ```ts
   * const { added, faults } = await mail.suppressions.importCsv(createReadStream('bounces.csv'), { reason: 'hard-bounce' });
   * ```
   *
   * @param defaults of rows that have no reason or scope
   * @throws MailValidationError the first row names no column of addresses
   * @throws MailError (`SOURCE_FAILED`) the file could not be read on; what was added stays
   */
  async importCsv(source: CsvSource, defaults: CsvDefaults = {}): Promise<CsvImport> {
    const list = this.own();
    const result: CsvImport = { added: 0, rejected: 0, faults: [] };
    const reject = (line: number, message: string): void => {
      if (result.rejected++ < TOLD_FAULTS) result.faults.push({ line, message });
    };
    const now = new Date();
    let rows: Suppression[] = [];
    const flush = async (): Promise<void> => {
      if (rows.length > 0) await list.add(rows);
      result.added += rows.length;
      rows = [];
    };
    for await (const row of csvRows(source)) {
      if ('fault' in row) {
        reject(row.line, row.fault);
        continue;
      }
      const faults: Fault[] = [];
      const suppression = parse({ ...defaults, ...(row.cells as Cells) }, '', now, faults);
      const [fault] = faults;
      if (fault) reject(row.line, `${fault.path}: ${fault.message}`);
      else if (rows.push(suppression) >= CHUNK) await flush();
    }
    await flush();
    // Rows that cannot be read are told ahead of those that can.
    result.faults.sort((a, b) => a.line - b.line);
    return result;
  }

  /**
   * The list as a CSV file (RFC 4180, UTF-8) in parts, with the columns address, scope, reason, since and note. `importCsv()` reads
   * it as it was.
   *
   * ```ts
   * await pipeline(mail.suppressions.exportCsv(), createWriteStream('suppressed.csv'));
   * ```
   */
  exportCsv(): AsyncIterable<string> {
    return suppressionsToCsv(this.list());
  }

  private own(): SuppressionList {
    if (this.suppressions) return this.suppressions;
    throw new MailConfigError(
      'There is no suppression list: the mail module was configured with queue: false. Configure a queue, or give the option suppression.list.',
    );
  }
}

type Cells = SuppressionCells & { scope?: SuppressionScope };

function parse(input: SuppressionInput, path: string, now: Date, faults: Fault[]): Suppression {
  const { address, reason = 'manual', since = now, note } = input;
  const { scope = SCOPES[reason] } = input;
  const wrong = (field: string, message: string): void => void faults.push({ path: `${path}${field}`, message });
  if (!isMailAddress(address)) wrong('address', `${show(address)} is not an address`);
  if (!SUPPRESSION_REASONS.includes(reason)) {
    wrong('reason', `${show(reason)} is none of ${SUPPRESSION_REASONS.join(', ')}`);
  } else if (!isSuppressionScope(scope)) {
    wrong(
      'scope',
      `${show(scope)} is none of all, bulk and list:<name>, a name having 1 to 64 letters, digits, ., _ or -`,
    );
  }
  if (!(since instanceof Date) || Number.isNaN(since.getTime())) wrong('since', 'must be a Date');
  if (note !== undefined && typeof note !== 'string') wrong('note', 'must be a string');
  return { address, scope, reason, since, ...(note === undefined ? {} : { note }) };
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : typeof value;
}
