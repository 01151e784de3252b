import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../../scripts/lib/root.mjs';
import { snippetsOf } from './snippets.js';
import { temporaryFolder } from './temp.js';

/** The code of a page of the documentation, as files of an application. */
export interface Page {
  /** Of the application, for what a test puts there besides, such as templates. Removed when the test file ends. */
  readonly folder: string;
  /** Adds a file, or replaces one that has not been loaded. */
  write(path: string, text: string): void;
  /** Runs a file, and gives what it exports; the same each time. `T` says what that is, and nobody checks it. */
  load<T>(path: string): Promise<T>;
}

/**
 * The blocks of a page whose first line names their file, such as `// src/app.module.ts`, ready to be run: this package is
 * the code of src, and whatever else they import is what the repository has installed. Decorators work as in an application.
 * A file sees the environment, such as `process.env.SMTP_URL`, as it is when it is first loaded.
 *
 * ```ts
 * vi.stubEnv('SMTP_URL', smtp.url);
 * const page = openPage('docs/bulk-mail.md');
 * const { Newsletter } = await page.load<{ Newsletter: Type<Issues> }>('src/newsletter.ts');
 * ```
 *
 * @param path from the root of the repository
 */
export function openPage(path: string): Page {
  const folder = temporaryFolder('page');
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir');
  // Vite looks for the settings of decorators beside the file that it compiles.
  write('tsconfig.json', JSON.stringify({ extends: join(root, 'tsconfig.json'), include: ['src'] }));
  for (const [file, code] of snippetsOf(path)) write(file, withSources(code));
  return { folder, write, load: async <T>(file: string) => (await import(join(folder, file))) as T };
}

/** Imports the package's entries from src. */
function withSources(code: string): string {
  return code.replace(/(['"])nestjs-priority-mail(\/[^'"]+)?\1/g, (_, quote: string, entry = '') => {
    const compiled = ENTRIES[`.${entry as string}`]?.default;
    if (compiled === undefined) throw new Error(`The package has no entry ${entry as string}`);
    return `${quote}${join(root, compiled.replace(/^\.\/dist\/(.*)\.js$/, 'src/$1.ts'))}${quote}`;
  });
}

const { exports: ENTRIES } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, { default?: string } | undefined>;
};
