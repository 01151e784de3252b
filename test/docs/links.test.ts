import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../scripts/lib/root.mjs';
import { readPage } from '../support/snippets.js';

const LINK = /!?\[[^\]]*\]\(([^()\s]+)\)/g;

const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [join('docs', name)] : [])),
];

it.each(pages)('the links of %s lead somewhere in the repository', (page) => {
  const broken = [
    ...readPage(page)
      .replace(/^```[^]*?^```$/gm, '')
      .matchAll(LINK),
  ]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target) && !leads(page, target));
  expect(broken).toEqual([]);
});

it('the front page leads to every page', () => {
  const front = readPage('README.md');
  expect(pages.filter((page) => page.startsWith('docs/') && !front.includes(`](${page})`))).toEqual([]);
});

function leads(page: string, target: string): boolean {
  const [path = '', heading] = target.split('#');
  const file = path === '' ? page : join(dirname(page), path);
  if (!existsSync(join(root, file))) return false;
  return heading === undefined || headings(file).includes(heading);
}

/** As GitHub makes them: lower case, spaces to hyphens, punctuation dropped. */
function headings(file: string): string[] {
  return [...readPage(file).matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
