import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { parseDuration } from '../../src/message/duration.js';
import { DEFAULT_LIMITS } from '../../src/message/limits.js';
import { DEFAULTS } from '../../src/nest/options/defaults.js';
import { parseOptions } from '../../src/nest/options/parse.js';
import { readPage, tableRows } from '../support/snippets.js';

/** Where the members of each interface of options stand. */
const PREFIXES: Record<string, string> = {
  MailModuleOptions: '',
  MailModuleExtras: '',
  CollectConfig: 'collect.',
  SuppressionConfig: 'suppression.',
  UnsubscribeConfig: 'unsubscribe.',
  BouncesConfig: 'bounces.',
  FeedbackConfig: 'feedback.',
  AttachmentsConfig: 'attachments.',
  S3StoreConfig: 'attachments.store.',
  QueueConfig: 'queue.',
  MetricsConfig: 'metrics.',
  EncryptionKeyConfig: 'queue.encryptionKey[].',
  SmtpTransportConfig: 'transports[].',
  SesTransportConfig: 'transports[].',
  SesConfig: 'transports[].ses.',
  ForeignTransportConfig: 'transports[].',
  RateLimitConfig: 'transports[].rateLimit.',
  CommonProbeConfig: 'transports[].probe.',
  SmtpProbeConfig: 'transports[].probe.',
  HttpProbeConfig: 'transports[].probe.',
  DkimKeyConfig: 'transports[].dkim.',
  DkimSignatureConfig: 'transports[].dkim.',
  DkimKeysConfig: 'transports[].dkim.',
  TemplatesConfig: 'templates.',
  HandlebarsOptions: 'templates.',
  Limits: 'limits.',
};

/** Options whose type is an interface of its own: what stands in them is told, they themselves are not. */
const SECTIONS = new Set([
  'attachments',
  'limits',
  'templates',
  'suppression',
  'transports[].rateLimit',
  'transports[].dkim',
]);

/** The options in an object of defaults that is shared by the places named here; others stand under their own name. */
const PLACES: Record<string, string> = {
  batch: 'queue.batch',
  worker: 'queue.worker',
  retry: 'queue.retry',
  keep: 'queue.keep',
  waitForCapacity: 'queue.waitForCapacity',
  transport: 'transports[]',
};

interface Row {
  path: string;
  values: string;
  default: string;
}

const rows: Row[] = tableRows(readPage('docs/options.md')).map(([path = '', , values = '', otherwise = '']) => ({
  path: path.replaceAll('`', ''),
  values,
  default: otherwise,
}));
const declared = declaredOptions(
  'src/nest/options/types.ts',
  'src/nest/options/foreign-config.ts',
  'src/nest/options/ses.ts',
  'src/nest/options/suppression.ts',
  'src/nest/options/unsubscribe.ts',
  'src/nest/options/attachments.ts',
  'src/nest/options/bounces.ts',
  'src/nest/options/feedback.ts',
  'src/nest/options/dkim.ts',
  'src/nest/options/probe-config.ts',
  'src/nest/options/rate-limit.ts',
  'src/message/limits.ts',
  'src/templates/handlebars/options.ts',
);
const defaults = new Map([...leaves(DEFAULTS), ...leaves({ limits: DEFAULT_LIMITS })]);

describe('docs/options.md', () => {
  it('names every option of the types, and no other', () => {
    expect(rows.map(({ path }) => path).sort()).toEqual([...declared].sort());
  });

  it.each([...defaults])('has the default of %s', (path, value) => {
    const row = rows.find((candidate) => candidate.path === path);
    expect(row && literal(row.default)).toBe(value);
  });

  it('shows a literal as default only where there is one', () => {
    const shown = rows.filter((row) => literal(row.default) !== undefined).map(({ path }) => path);
    expect(shown.filter((path) => !defaults.has(path))).toEqual(['isGlobal']);
  });

  const ranges = rows.flatMap(({ path, values }) => {
    const [, min, max] = /^([\d,]+) to ([\d,]+)$/.exec(values) ?? [];
    return min !== undefined && max !== undefined ? [{ path, min: number(min), max: number(max) }] : [];
  });
  it.each(ranges)('has the range of $path', ({ path, min, max }) => {
    expect(refusal(path, max + 1)).toContain(`from ${min} to ${max}`);
    expect(refusal(path, min - 1)).toContain(`from ${min} to ${max}`);
    expect(refusal(path, min)).toBe('');
    expect(refusal(path, max)).toBe('');
  });

  const durations = rows
    .filter(({ values }) => values.startsWith('duration'))
    .map(({ path, values }) => ({ path, min: number(/^duration(?:, at least (\d+) ms)?$/.exec(values)?.[1] ?? '0') }));
  it.each(durations)('has the smallest duration of $path', ({ path, min }) => {
    expect(refusal(path, min - 1)).not.toBe('');
    expect(refusal(path, min)).toBe('');
  });
});

/** Why a value of one option is refused at boot; empty when it is not. */
function refusal(path: string, value: unknown): string {
  const base = {
    from: 'a@shop.test',
    queue: { connection: 'pglite://memory' },
    transports: [{ name: 'main', url: 'smtp://127.0.0.1' }],
  };
  const names = path.replace('[]', '.0').split('.');
  const last = names.pop()!;
  let target: Record<string, unknown> = base;
  // Where one option of a section is given, others must be there too.
  if (names.includes('ses')) base.transports = [{ name: 'main', ses: {} } as never];
  if (path === 'transports[].timeout') base.transports = [{ name: 'main', transport: { send: () => ({}) } } as never];
  if (names.includes('rateLimit')) Object.assign(base.transports[0]!, { rateLimit: { messages: 10, per: '1s' } });
  if (names.includes('unsubscribe')) Object.assign(base, { unsubscribe: { secret: 'x'.repeat(32) } });
  if (names.includes('probe')) Object.assign(base.transports[0]!, { probe: probeWith(last) });
  for (const name of names) target = (target[name] ??= {}) as Record<string, unknown>;
  target[last] = value;
  try {
    parseOptions(base, 'mail');
    return '';
  } catch (error) {
    expect(error).toBeInstanceOf(MailConfigError);
    return (error as MailConfigError).message;
  }
}

/** The least that a probe with this option can be. */
function probeWith(option: string): object {
  return option === 'maxLatency' ? { type: 'smtp' } : { type: 'http', url: 'http://127.0.0.1' };
}

function number(text: string): number {
  return Number(text.replaceAll(',', ''));
}

/** The value of a cell that is one TypeScript literal; durations in milliseconds. */
function literal(cell: string): unknown {
  const [, code] = /^`([^`]+)`$/.exec(cell) ?? [];
  if (code === undefined) return undefined;
  if (/^[\d_]+$/.test(code)) return Number(code.replaceAll('_', ''));
  if (code === 'true' || code === 'false') return code === 'true';
  const [, text] = /^'(.*)'$/.exec(code) ?? [];
  return text === undefined ? undefined : (parseDuration(text) ?? text);
}

function* leaves(object: object, prefix = ''): Iterable<[path: string, value: unknown]> {
  for (const [name, value] of Object.entries(object) as [string, unknown][]) {
    const path = prefix + (prefix === '' ? (PLACES[name] ?? name) : name);
    if (typeof value === 'object' && value !== null) yield* leaves(value, `${path}.`);
    else yield [path, value];
  }
}

/** The paths of the options that the interfaces declare. An object that only holds others is left out. */
function declaredOptions(...files: string[]): Set<string> {
  const paths = new Set<string>();
  const met = new Set<string>();
  for (const file of files) {
    const source = ts.createSourceFile(file, readPage(file), ts.ScriptTarget.Latest);
    for (const statement of source.statements) {
      if (!ts.isInterfaceDeclaration(statement) || /^MailOptionsFactory$|Settings$/.test(statement.name.text)) continue;
      met.add(statement.name.text);
      const prefix = PREFIXES[statement.name.text];
      if (prefix === undefined) throw new Error(`Where do the options of ${statement.name.text} stand?`);
      collect(statement.members, prefix);
    }
  }
  expect([...met].sort()).toEqual(Object.keys(PREFIXES).sort());
  return paths;

  function collect(members: readonly ts.TypeElement[], prefix: string): void {
    for (const member of members) {
      if (!ts.isPropertySignature(member) || !member.type) throw new Error(`${prefix} has more than options`);
      const path = prefix + (member.name as ts.Identifier).text;
      const types = ts.isUnionTypeNode(member.type) ? [...member.type.types] : [member.type];
      const nested = types.filter(ts.isTypeLiteralNode);
      const isSection = types.length === 1 && (nested.length === 1 || SECTIONS.has(path));
      if (!isSection) paths.add(path);
      for (const type of nested) collect([...type.members], `${path}.`);
    }
  }
}
