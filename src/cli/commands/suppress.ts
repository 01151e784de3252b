import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { reasonOf } from '../../errors.js';
import type { Suppression, SuppressionReason, SuppressionScope } from '../../feedback/suppression.js';
import type { CsvDefaults, MailSuppressions } from '../../nest/mail-suppressions.js';
import type { Context } from '../context.js';
import { writeCsvFile } from '../csv-file.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { UsageError } from '../failure.js';
import { withMailer } from '../mailer.js';
import type { Answer, Output } from '../output.js';
import { count, table, time } from '../text.js';

export interface SuppressOptions {
  scope?: SuppressionScope;
  reason?: SuppressionReason;
  note?: string;
  remove?: string[];
  check?: string[];
  list?: boolean;
  import?: string;
  /** True for standard output. */
  export?: string | true;
}

type Act = (list: MailSuppressions, context: Context) => Promise<Answer | void>;

/** Looks after the addresses that get no more mail. */
export function suppress(context: Context, addresses: string[], options: SuppressOptions): Promise<ExitCode> {
  const act = actOf(addresses, options);
  return withMailer(context, 'queue', ({ mail }) => act(mail.suppressions, context));
}

/** @throws UsageError not exactly one thing is asked for */
function actOf(addresses: string[], options: SuppressOptions): Act {
  const { scope, reason, note } = options;
  const acts: Act[] = [];
  if (addresses.length > 0) acts.push((list) => add(list, addresses, { scope, reason, note }));
  if (options.remove) acts.push((list) => remove(list, options.remove!, { scope, reason }));
  if (options.check) acts.push((list) => check(list, options.check!));
  if (options.list) acts.push((list, { output }) => show(list, output));
  if (options.import !== undefined)
    acts.push((list, { cwd }) => read(list, resolve(cwd, options.import!), { scope, reason }));
  if (options.export !== undefined) acts.push((list, context) => write(list, options.export!, context));
  const [act] = acts;
  if (act && acts.length === 1) return act;
  throw new UsageError('Give addresses, or one of --remove, --check, --list, --import and --export.');
}

type Why = Pick<SuppressOptions, 'scope' | 'reason' | 'note'>;

async function add(list: MailSuppressions, addresses: string[], why: Why): Promise<Answer> {
  await list.add(addresses.map((address) => ({ address, ...why })));
  return {
    document: { suppressed: addresses.length },
    text: () => addresses.map((address) => `${address} is suppressed.`).join('\n'),
  };
}

async function remove(list: MailSuppressions, addresses: string[], { scope, reason }: Why): Promise<Answer> {
  const which = { ...(scope ? { scope } : {}), ...(reason ? { reason } : {}) };
  const found = new Map<string, boolean>();
  const lines: string[] = [];
  for (const address of addresses) {
    found.set(address, await list.remove(address, which));
    const left = await list.get(address);
    if (left.length > 0) lines.push(`${address} is still suppressed: ${left.map(inShort).join(', ')}.`);
    else lines.push(`${address} ${found.get(address) ? 'gets mail again' : 'was not suppressed'}.`);
  }
  return {
    document: Object.fromEntries(found),
    text: () => lines.join('\n'),
    exitCode: [...found.values()].every(Boolean) ? EXIT.ok : EXIT.failed,
  };
}

async function check(list: MailSuppressions, addresses: string[]): Promise<Answer> {
  const known = (await Promise.all(addresses.map((address) => list.get(address)))).flat();
  return {
    document: { suppressions: known },
    text: () => (known.length > 0 ? table([HEADING, ...known.map(cellsOf)]) : 'Not suppressed.'),
    exitCode: known.length > 0 ? EXIT.ok : EXIT.failed,
  };
}

/** However many they are. */
async function show(list: MailSuppressions, { stdout, json }: Output): Promise<void> {
  const lines = async function* (): AsyncIterable<string> {
    for await (const one of list.list()) yield `${json ? JSON.stringify(one) : table([cellsOf(one)])}\n`;
  };
  await pipeline(Readable.from(lines()), stdout, { end: false });
}

async function read(list: MailSuppressions, file: string, defaults: CsvDefaults): Promise<Answer> {
  const source = await open(file).catch((error: unknown) => {
    throw new UsageError(`${file} cannot be read: ${reasonOf(error)}.`, { cause: error });
  });
  const result = await list.importCsv(source.createReadStream(), defaults);
  const { added, rejected, faults } = result;
  const lines = faults.map(({ line, message }) => `line ${line}: ${message}`);
  return {
    document: result,
    text: () => [...lines, `${count(added)} rows are in the list, ${count(rejected)} are not.`].join('\n'),
    exitCode: rejected === 0 ? EXIT.ok : EXIT.failed,
  };
}

async function write(list: MailSuppressions, to: string | true, { output, cwd }: Context): Promise<Answer | void> {
  const csv = list.exportCsv();
  if (to === true || to === '-') return pipeline(Readable.from(csv), output.stdout, { end: false });
  const file = resolve(cwd, to);
  await writeCsvFile(file, csv);
  return { document: { file }, text: () => `The list is written to ${file}.` };
}

const HEADING = ['address', 'scope', 'reason', 'since', 'note'];

function inShort({ reason, scope }: Suppression): string {
  return `${reason} (${scope})`;
}

function cellsOf({ address, scope, reason, since, note = '' }: Suppression): string[] {
  return [address, scope, reason, time(since), note];
}
