import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { root } from '../../scripts/lib/root.mjs';
import { snippetsOf } from '../support/snippets.js';

const pages = readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []));

/** For all that the pages import, on a busy machine. */
const COMPILE = 120_000;

it(
  'the code of every page compiles',
  () => {
    const files = new Map<string, string>();
    // In folders of this repository that do not exist, so that its packages are found.
    for (const page of ['README.md', ...pages]) {
      for (const [path, code] of snippetsOf(page)) files.set(join(root, '.pages', page, path), code);
    }
    const options = compilerOptions();
    const onDisk = ts.createCompilerHost(options);
    const folders = new Set([...files.keys()].map(dirname));
    const host: ts.CompilerHost = {
      ...onDisk,
      fileExists: (path) => files.has(path) || onDisk.fileExists(path),
      readFile: (path) => files.get(path) ?? onDisk.readFile(path),
      directoryExists: (path) => folders.has(path) || ts.sys.directoryExists(path),
      getSourceFile: (path, target, ...more) =>
        files.has(path)
          ? ts.createSourceFile(path, files.get(path)!, target)
          : onDisk.getSourceFile(path, target, ...more),
    };
    const program = ts.createProgram([...files.keys()], options, host);
    const problems = [...files.keys()].flatMap((path) => {
      const file = program.getSourceFile(path);
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    });
    expect(ts.formatDiagnostics(problems, host)).toBe('');
  },
  COMPILE,
);

function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  return ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, root).options;
}
