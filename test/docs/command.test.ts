import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { VARIABLES } from '../../src/cli/config/environment.js';
import { CONFIG_FILES } from '../../src/cli/config/file.js';
import { EXIT } from '../../src/cli/exit-code.js';
import { createProgram } from '../../src/cli/program.js';
import { COLUMNS } from '../../src/cli/recipient-list.js';
import { readPage, tableRows } from '../support/snippets.js';

const page = readPage('docs/command.md');
const program = createProgram(process, () => Promise.resolve());
const commands = program.commands.map((command) => ({ command, name: command.name() }));

describe('docs/command.md', () => {
  it('has every command with its arguments', () => {
    const usage = commands.map(({ command, name }) =>
      [name, ...command.registeredArguments.map((one) => (one.required ? `<${one.name()}>` : `[${one.name()}]`))].join(
        ' ',
      ),
    );
    expect(cells('Commands', 0, 2).sort()).toEqual(usage.sort());
  });

  it('has every option, and whose it is', () => {
    const declared = [
      ...optionsOf(program).map((flags) => [flags, 'all']),
      ...commands.flatMap(({ command, name }) => optionsOf(command).map((flags) => [flags, name])),
    ];
    const shown = rows('Commands')
      .filter((row) => row.length === 3)
      .flatMap(([flags = '', of = '']) =>
        unquoted(of)
          .split(', ')
          .map((one) => [unquoted(flags), one]),
      );
    expect(shown.sort()).toEqual(declared.sort());
  });

  it('has every exit code, as the help does', () => {
    const codes = Object.values(EXIT).map(String);
    expect(cells('Exit codes', 0)).toEqual(codes);
    const [, listed = ''] = /Exit codes:\n([^]*)/.exec(help()) ?? [];
    expect([...listed.matchAll(/^ {2}(\d+) {2}\S/gm)].map(([, code]) => code)).toEqual(codes);
  });

  it('has every environment variable', () => {
    expect(cells('Configuration', 0).sort()).toEqual(Object.values(VARIABLES).sort());
  });

  it('has every name of a configuration file', () => {
    const [, names = ''] = /^2\. (.*) in the working directory$/m.exec(page) ?? [];
    const shown = [...names.matchAll(/`(?:mail\.config)?(\.\w+)`/g)].map(
      ([, extension = '']) => `mail.config${extension}`,
    );
    expect(shown).toEqual(CONFIG_FILES);
  });

  it('has every column of a list', () => {
    expect(cells('Recipients as CSV', 0)).toEqual([...COLUMNS]);
  });
});

function rows(heading: string): string[][] {
  const [, text = ''] = new RegExp(`^## ${heading}\\n([^]*?)(?=^## |$(?![^]))`, 'm').exec(page) ?? [];
  expect(text, heading).not.toBe('');
  return tableRows(text);
}

/** @param width of the rows that are meant, where a section has several tables */
function cells(heading: string, column: number, width?: number): string[] {
  return rows(heading)
    .filter((row) => width === undefined || row.length === width)
    .map((row) => unquoted(row[column]!));
}

function optionsOf(command: Command): string[] {
  return command.options.map(({ flags }) => flags.replace(/^-\w, /, '')).filter((flags) => flags !== '--version');
}

function help(): string {
  let text = '';
  program.configureOutput({ writeOut: (part) => (text += part) });
  program.outputHelp();
  return text;
}

function unquoted(cell: string): string {
  return cell.replaceAll('`', '');
}
