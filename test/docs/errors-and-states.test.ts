import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { root } from '../../scripts/lib/root.mjs';
import { readPage, tableRows } from '../support/snippets.js';

const page = readPage('docs/errors-and-states.md');

describe('docs/errors-and-states.md', () => {
  it('has every code that an error of this package carries', () => {
    const shown = tableRows(section('Errors')).map(([, code = '']) => code);
    expect(shown.map(unquoted).sort()).toEqual(errorCodes().sort());
  });

  it.each(['A transport that was not asked', 'An idempotencyKey that is in doubt'])(
    'quotes src under %s',
    (heading) => {
      const quoted = tableRows(section(heading)).flatMap(([text = '']) => unquoted(text).split('…'));
      const code = sources().join('\n');
      expect(quoted.map((part) => part.trim()).filter((part) => !code.includes(part))).toEqual([]);
    },
  );

  it('has every state of a message', () => {
    expect(states('States of a message')).toEqual(unionIn('src/queue/status.ts', 'MailState').sort());
  });

  it('has every state of a campaign', () => {
    expect(states('States of a campaign')).toEqual(unionIn('src/queue/reader.ts', 'CampaignReport.state').sort());
  });
});

function section(heading: string): string {
  const [, text] = new RegExp(`^## ${heading}\\n([^]*?)(?=^## |$(?![^]))`, 'm').exec(page) ?? [];
  expect(text, heading).toBeDefined();
  return text ?? '';
}

function states(heading: string): string[] {
  return tableRows(section(heading))
    .map(([state = '']) => unquoted(state))
    .sort();
}

function unquoted(cell: string): string {
  return cell.replaceAll('`', '');
}

/** What follows `code:` where src makes an error that callers see; a plain Error in nodemailer's shape is a cause. */
function errorCodes(): string[] {
  const found = sources().flatMap((source) =>
    [...source.matchAll(/(?<!new Error\(.*)\bcode: (?:[\w.]+ \?\? )?'([A-Z_]+)'/g)].map(([, code = '']) => code),
  );
  return [...new Set(found)];
}

function sources(): string[] {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.ts')).map((file) => readPage(join('src', file)));
}

/** The strings of a union type: `Alias`, or `Interface.member`. */
function unionIn(file: string, name: string): string[] {
  const [outer, member] = name.split('.');
  const source = ts.createSourceFile(file, readPage(file), ts.ScriptTarget.Latest);
  for (const statement of source.statements) {
    if (ts.isTypeAliasDeclaration(statement) && statement.name.text === outer) return strings(statement.type);
    if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== outer) continue;
    for (const { name: key, type } of statement.members.filter(ts.isPropertySignature)) {
      if (type && (key as ts.Identifier).text === member) return strings(type);
    }
  }
  throw new Error(`${file} has no ${name}`);
}

function strings(type: ts.TypeNode): string[] {
  const types = ts.isUnionTypeNode(type) ? [...type.types] : [type];
  return types.map((one) => ((one as ts.LiteralTypeNode).literal as ts.StringLiteral).text);
}
