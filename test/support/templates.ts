import fc from 'fast-check';
import type { MergeData, Place } from '../../src/mime/merge.js';
import { wild, without } from './texts.js';

/** A template, and a second opinion on what it becomes. */
export interface Template {
  text: string;
  /** Undefined when a field has no value and needs one. */
  fill: (data: MergeData, place: Place, missing: 'error' | 'empty') => string | undefined;
}

const FIELDS = ['name', 'city', 'order.code', '이름', 'count', 'paid', 'company', 'maybe', 'link.url'];
const field = fc
  .record({ path: fc.constantFrom(...FIELDS), space: fc.constantFrom('', ' '), trusted: fc.nat(4) })
  .map(({ path, space, trusted }) => {
    const text = `{{${space}${path}${space}}}`;
    return trusted === 0 ? { path, trusted: true, text: `{${text}}` } : { path, trusted: false, text };
  });
/** Braces would make it a field or part of one; a backslash would take the next field's meaning. */
const literal = wild.map((text) => text.replace(/[{}]/g, '').replace(/\\$/, ''));
const part = fc.oneof(
  { weight: 6, arbitrary: literal },
  { weight: 4, arbitrary: field },
  fc
    .constantFrom({ text: '\\{{', is: '{{' }, { text: '{{}} ', is: '{{}} ' }, { text: '{{ a b }}', is: '{{ a b }}' })
    .map((one) => ({ ...one })),
);

/** Fixed text and fields by turns. */
type Piece = string | { path: string; trusted: boolean };

export const template = (place: Place, maxLength = 8): fc.Arbitrary<Template> =>
  fc.array(part, { maxLength }).map((given) => {
    const parts = given.map((one) => {
      if (typeof one !== 'string') return one;
      const text = place === 'header' ? without(one, /[\r\n]+/g) : one;
      return { text, is: text };
    });

    const pieces: Piece[] = [];
    for (const one of parts) {
      const last = pieces.at(-1);
      if (!('is' in one)) pieces.push(one);
      else if (typeof last === 'string') pieces[pieces.length - 1] = last + one.is;
      else pieces.push(one.is);
    }
    return {
      text: parts.map(({ text }) => text).join(''),
      fill: (data, where, missing) => {
        const filled = pieces.map((piece) => {
          if (typeof piece === 'string') return lineEnds(piece, where);
          const found = lookup(data, piece.path) ?? (missing === 'empty' ? '' : undefined);
          if (found === undefined) return undefined;
          return where === 'html' && piece.trusted ? lineEnds(found, where) : escaped(found, where);
        });
        return filled.includes(undefined) ? undefined : filled.join('');
      },
    };
  });

/** Between a value and what is around it CR and LF do not make one line end of two. */
function lineEnds(text: string, place: Place): string {
  return place === 'header' ? text : text.replace(/\r\n?/g, '\n');
}

export function lookup({ context, group }: MergeData, path: string): string | undefined {
  for (const source of [context, group]) {
    let found: unknown = source;
    for (const key of path.split('.')) found = (found as Record<string, unknown> | undefined)?.[key];
    if (found !== undefined) return typeof found === 'string' ? found : JSON.stringify(found);
  }
  return undefined;
}

const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
]);

export function escaped(text: string, place: Place): string {
  if (place === 'header') return text.replace(/\p{Cc}+/gu, ' ');
  const lines = lineEnds(text, place);
  return place === 'html' ? Array.from(lines, (char) => ENTITIES.get(char) ?? char).join('') : lines;
}
