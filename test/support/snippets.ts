import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/lib/root.mjs';

/** A page of the repository, by its path from the root. */
export function readPage(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

const BLOCK = /^```tsx?\n(\/\/ (\S+\.tsx?)\n[\s\S]*?)^```$/gm;

/**
 * The TypeScript blocks of Markdown pages whose first line names their file, such as `// src/app.module.ts`. Together the
 * pages make one application, so a file may be shown only once.
 *
 * @returns the code by its file's path
 */
export function snippetsOf(...pages: string[]): Map<string, string> {
  const snippets = new Map<string, string>();
  for (const page of pages) {
    for (const [, code = '', path = ''] of readPage(page).matchAll(BLOCK)) {
      if (snippets.has(path)) throw new Error(`${page} shows ${path}, which was shown before`);
      snippets.set(path, code);
    }
  }
  return snippets;
}

/** The rows of a page's tables, each cell trimmed; headings and rules are left out. */
export function tableRows(markdown: string): string[][] {
  return markdown
    .split('\n')
    .filter((line, index, lines) => line.startsWith('|') && !isRule(line) && !isRule(lines[index + 1] ?? ''))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    );
}

function isRule(line: string): boolean {
  return /^\|[\s|:-]+\|$/.test(line);
}
