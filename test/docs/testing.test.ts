import { execFile } from 'node:child_process';
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildIfStale } from '../../scripts/lib/build.mjs';
import { root } from '../../scripts/lib/root.mjs';
import { readPage, snippetsOf, tableRows } from '../support/snippets.js';
import { temporaryFolder } from '../support/temp.js';
import { membersOf } from './declared.js';

const PAGE = 'docs/testing.md';

describe('the tests of docs/testing.md pass against the built package', () => {
  beforeAll(() => buildIfStale(), 120_000);

  it('with Vitest', async () => {
    const folder = project('vitest');
    const output = await runNode(folder, [bin('vitest', 'vitest.mjs'), 'run', '--root', folder]);
    expect(output).toMatch(/Tests .*18 passed/);
  });

  it('with Jest, in its ESM mode, and no handle is left', async () => {
    const folder = project('@jest/globals');
    const args = ['--experimental-vm-modules', bin('jest', 'bin/jest.js'), '--config', '{"transform":{}}'];
    const output = await runNode(folder, [...args, '--runInBand', '--detectOpenHandles']);
    expect(output).toContain('Tests:       18 passed, 18 total');
    expect(output).not.toMatch(/open handle|did not exit/);
  });

  it('with node:test', async () => {
    const folder = project('node:test');
    const output = await runNode(folder, ['--test', '--test-reporter=tap', 'test']);
    expect(output).toMatch(/^# pass 18$/m);
  });
});

describe('docs/testing.md', () => {
  it.each([
    ['What to look for', 1, 'src/testing/wanted.ts', 'MailMatcher'],
    ['The bulk lane', 0, 'src/testing/mail-fake.ts', 'DeliverQueuedOptions'],
    ['Failures', 1, 'src/testing/outbox.ts', 'FailOptions'],
  ])('has in %s, table %i, what %s declares', (heading, table, file, name) => {
    const [, section = ''] = new RegExp(`^## ${heading}\\n([^]*?)^## `, 'm').exec(readPage(PAGE)) ?? [];
    const tables = section.match(/(^\|.*\n)+/gm) ?? [];
    const shown = tableRows(tables[table] ?? '').flatMap(([cell = '']) => cell.replaceAll('`', '').split(', '));
    expect(shown.sort()).toEqual([...membersOf(file, name).keys()].sort());
  });
});

/** The page's code, compiled, as a project whose tests have this runner. */
function project(runner: string): string {
  const folder = temporaryFolder('runner');
  for (const [path, code] of snippetsOf(PAGE)) {
    const file = join(folder, path.replace(/ts$/, 'js'));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, compiled(code.replace("'vitest'", `'${runner}'`)));
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules', 'nestjs-priority-mail'), 'dir');
  for (const name of ['@nestjs', '@jest', 'jest', 'reflect-metadata', 'rxjs', 'vitest']) {
    symlinkSync(realpathSync(join(root, 'node_modules', name)), join(folder, 'node_modules', name), 'dir');
  }
  return folder;
}

function compiled(code: string): string {
  const { ES2022: target } = ts.ScriptTarget;
  const { ESNext: module } = ts.ModuleKind;
  const compilerOptions = { target, module, experimentalDecorators: true, emitDecoratorMetadata: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

function bin(name: string, file: string): string {
  return join(root, 'node_modules', name, file);
}

/** Resolves to all that it printed, in either case. What this runner tells its own processes is not passed on. */
function runNode(cwd: string, args: string[]): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_|TEST$)/.test(name)));
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd, env: { ...env, NO_COLOR: '1' }, timeout: 60_000 }, (_, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
}
