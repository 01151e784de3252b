import fc from 'fast-check';

/** What breaks encoders, parsers and SMTP servers. */
const NASTY = [
  ...['.', '..dots', '\n.\n', '\r\n.\r\n', '\r\n..', ' ', '  ', '\t', ' \n', '\t\r\n', '\n', '\r\n', '\r'],
  ...['\r\r\n', '\n\n\n', '=', '=3D', '=\n', '=C3=A9', '=?utf-8?Q?x?=', '=?utf-8?Q?a b?=', '=?utf-8?B?', '?=', '=?'],
  ...['--', '--_NmP-', '\r\n--_NmP-0-Part_1\r\n', '\r\n--_NmP-0-Part_1--\r\n', '--boundary', '\n--\n', '_', '?'],
  ...['\r\nBcc: eve@evil.test\r\n', '\r\n\r\n', 'Subject: x', 'Content-Type: text/html', '\nFrom here', 'From: me'],
  ...['<script>alert(1)</script>', '<b title="x">', '</p>', '&amp;', '&', '<', '<!--', "it's", '"', '"quoted"', "'"],
  ...[',', ', ', ';', ':', '\\', '\\"', '(comment', ')', '<a@b.test>', '@', 'a@b.test, c@d.test', '[', ']'],
  ...['x'.repeat(75), 'x'.repeat(76), 'x'.repeat(77), 'x'.repeat(1_200), 'word '.repeat(30), ' '.repeat(90)],
  ...['\t'.repeat(80), 'é', 'é'.repeat(100), '안녕하세요', '가나다'.repeat(40), '가 '.repeat(50), 'Ünïcödé', '漢字'],
  ...['👩‍👩‍👧‍👦', '👍🏽', '🇰🇷', '🎉'.repeat(40), '𝕏', 'e\u0301', '\u0301', '\u0301'.repeat(60), '\u200d', '\ufe0f'],
  ...['שלום עולם', 'مرحبا', '\u202eabc\u202c', '\u200f', '\ufeff', '\u200b', '\u2028', '\u00a0', '\u00ad', '\u3000'],
  ...['\ufffd', '\uffff', '\u0001', '\u007f', '\u0085', '\u000b', '\f', '\u001b[0m', '\b', '\u001f', '{', '}'],
  ...['$&', "$'", '$1', '%s', 'https://shop.test/u?id=1&x=%20', '{{name}}', '\\{{', '{{{html}}}'],
];

export const wild = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...NASTY) },
  { weight: 3, arbitrary: fc.constantFrom('Ann', 'Hello ', ', your order ', '<p>', '</p>\n', '\r\n') },
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.replaceAll('\0', '').toWellFormed()),
);
export const joined = (parts: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(parts, { maxLength }).map((all) => all.join(''));
export const value = fc.oneof(
  { weight: 6, arbitrary: joined(wild, 5) },
  { weight: 1, arbitrary: fc.constantFrom('', ' ', '\r\n', 'Ann', '이순신') },
);
export const listOf = <T>(arbitrary: fc.Arbitrary<T>, maxLength: number, empty = 1): fc.Arbitrary<T[]> =>
  fc.oneof({ weight: empty, arbitrary: fc.constant([] as T[]) }, fc.array(arbitrary, { maxLength }));
export const without = (text: string, what: RegExp) => text.replace(what, ' ');
export const optional = <T>(arbitrary: fc.Arbitrary<T>, freq = 2) => fc.option(arbitrary, { nil: undefined, freq });
export const defined = <T extends object>(object: T) =>
  Object.fromEntries(Object.entries(object).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
