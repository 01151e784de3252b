import { isTemplateName, TEMPLATE_RULE } from '../../message/text.js';
import { templateError } from '../render.js';

/**
 * A template's name as its path below the folder, such as `auth/welcome`.
 *
 * @throws MailError `TEMPLATE` for what would leave the folder
 */
export function parseTemplateName(name: unknown): string {
  if (isTemplateName(name)) return name;
  const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 200)) : `of type ${typeof name}`;
  throw templateError(`The template name ${shown} ${TEMPLATE_RULE}`);
}

/** Those that may have been meant instead, the likeliest first. */
export function closeNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  const base = baseOf(wanted);
  return known
    .filter((one) => one !== name)
    .map((one) => {
      const other = one.toLowerCase();
      const misspelt = Math.min(distance(wanted, other), distance(base, baseOf(other)) + 1);
      return { one, misspelt };
    })
    .filter(({ misspelt }) => misspelt <= Math.max(2, base.length / 3))
    .sort((a, b) => a.misspelt - b.misspelt)
    .slice(0, 3)
    .map(({ one }) => one);
}

/** Without folders and what looks like an ending. */
function baseOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1).replace(/\.(hbs|html|txt|ejs|pug)$/, '');
}

/** How many letters are to be put in, left out or replaced (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1)!;
}
