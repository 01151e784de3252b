import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { condense, expand } from '../../src/queue/condensed.js';
import type { BatchContent } from '../../src/queue/batch.js';
import { likenessOf, restore } from '../../src/queue/likeness.js';

const PADDING = 'What was asked for since last winter is here, and there is more of it than ever before. '.repeat(5);
const letter = (name: string, link: string): string =>
  `<html><body><h1>Hello ${name}</h1>\n<p>${PADDING}</p>\n<a href="https://shop.test/u/${link}">Unsubscribe</a></body></html>`;

const restored = (texts: string[], guess?: string[]): string[] => {
  const found = likenessOf(texts, guess);
  return found ? found.values.map((value) => restore(value, found.pieces)) : texts;
};

describe('texts of one template', () => {
  const names = ['Kim', 'Kang', 'Lee', 'Lee', '', 'Zoë "Bee" Brontë, Jr.', '</h1>\n<p>', '김서연'];
  const texts = names.map((name, index) => letter(name, `k${index}`));

  it('are their values', () => {
    const found = likenessOf(texts)!;
    expect(found.values.slice(0, 3)).toEqual([
      ['Kim', 'k0'],
      ['Kang', 'k1'],
      ['Lee', 'k2'],
    ]);
    expect(JSON.stringify(found).length).toBeLessThan(texts.join('').length / 4);
    expect(restored(texts)).toEqual(texts);
  });

  it('are found by what others had in common, which is not believed', () => {
    const { pieces } = likenessOf(texts)!;
    expect(likenessOf(texts, pieces)).toEqual(likenessOf(texts));
    expect(restored(texts, ['<html>', 'another', '</html>'])).toEqual(texts);
    const larger = [PADDING.repeat(20), PADDING.repeat(20)];
    expect(likenessOf(texts, larger)).toEqual(likenessOf(texts));
  });

  it('leave one that is another as it is', () => {
    const mixed = [...texts, 'Nothing of that. '.repeat(40)];
    expect(likenessOf(mixed)!.values.at(-1)).toBe(mixed.at(-1));
    expect(restored(mixed)).toEqual(mixed);
  });
});

it('texts that have nothing in common, or are short, or few, are not condensed', () => {
  expect(likenessOf(['a', 'b', 'c'].map((character) => character.repeat(500)))).toBeUndefined();
  expect(likenessOf(['Hello Kim', 'Hello Lee', 'Hello Ann'])).toBeUndefined();
  expect(likenessOf([letter('Kim', 'a'), letter('Lee', 'b')])).toBeUndefined();
});

it('any texts are restored as they were', () => {
  const piece = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.constantFrom('<p>', ' ', 'aaaa', 'word '));
  const value = fc.oneof(piece, fc.constantFrom('', 'a', '<p>', 'aaaaaaaaa'));
  const made = fc
    .tuple(
      fc.array(piece, { minLength: 1, maxLength: 8 }),
      fc.array(fc.array(value, { maxLength: 8 }), { minLength: 3, maxLength: 12 }),
    )
    .map(([pieces, rows]) =>
      rows.map((values) => PADDING + pieces.map((text, index) => text.repeat(6) + (values[index] ?? '')).join('')),
    );
  fc.assert(
    fc.property(made, fc.option(fc.array(piece), { nil: undefined }), (texts, guess) => {
      expect(restored(texts, guess)).toEqual(texts);
    }),
  );
});

it('content is condensed and expanded to what it was', () => {
  const items = ['Kim', 'Lee', 'Ann', 'Bo'].map((name, index) => ({
    to: `${name}@x.test`,
    subject: name,
    text: `Hello ${name}`,
    html: letter(name, `k${index}`),
  }));
  const shared = {
    from: { name: '', address: 'a@b.test' },
    replyTo: [],
    headers: [],
    cc: [],
    bcc: [],
    attachments: [],
  };
  const content: BatchContent = { shared, items };
  const condensed = condense(content)!;
  expect(condensed.items[1]).toEqual({ to: 'Lee@x.test', subject: 'Lee', text: 'Hello Lee', html: ['Lee', 'k1'] });
  expect(expand(JSON.parse(JSON.stringify(condensed)) as object)).toEqual(content);
  expect(expand(content)).toBe(content);
});
