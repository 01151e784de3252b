import fc from 'fast-check';
import PostalMime from 'postal-mime';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { tokenInMail } from '../../src/feedback/unsubscribe-mail.js';
import { UnsubscribeLinks } from '../../src/feedback/unsubscribe-links.js';
import { UnsubscribeTokens, type UnsubscribeClaims } from '../../src/feedback/unsubscribe-token.js';
import { listId } from '../../src/message/list-id.js';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const DAY = 24 * 3_600_000;
const secret = 'a secret of the test, of 32 bytes at least';
const tokens = new UnsubscribeTokens([secret]);
const claims: UnsubscribeClaims = {
  address: 'ann@mail.test',
  id: 'c_abcdefghijklmnopqrst-12.249',
  list: 'news',
  expiresAt: NOW + DAY,
};

/** What can stand in one: an address has no NUL, an id and a list are ASCII. */
const anyClaims = fc.record(
  {
    address: fc.oneof(
      fc.emailAddress(),
      fc.constantFrom('이순신@우편.한국', `${'l'.repeat(64)}@${'d'.repeat(180)}.test`),
    ),
    id: fc.stringMatching(/^[A-Za-z0-9_~-]{1,90}\.\d{1,7}$/),
    list: fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/),
    expiresAt: fc.integer({ min: NOW / 1_000 + 1, max: 2 ** 32 - 1 }).map((seconds) => seconds * 1_000),
  },
  { requiredKeys: ['address', 'id', 'expiresAt'] },
);

describe('a token', () => {
  it('says what was signed, in letters that need no escaping', () => {
    fc.assert(
      fc.property(anyClaims, (claims) => {
        const token = tokens.sign(claims);
        expect(tokens.verify(token, NOW)).toEqual({ state: 'valid', claims });
        expect(token).toMatch(/^[\w-]{43,700}$/);
      }),
    );
  });

  it('is not believed when anything of it was changed', () => {
    const change = fc.record({ at: fc.nat(), letter: fc.constantFrom(...'ABCxyz019-_=+/. '), how: fc.nat(2) });
    fc.assert(
      fc.property(anyClaims, change, (claims, { at, letter, how }) => {
        const token = tokens.sign(claims);
        const place = at % token.length;
        const changed = token.slice(0, place) + (how === 0 ? '' : letter) + token.slice(place + (how === 1 ? 0 : 1));
        fc.pre(changed !== token);
        expect(tokens.verify(changed, NOW)).toEqual({ state: 'invalid' });
      }),
      { numRuns: 500 },
    );
  });

  it('is not believed when a bit of it was turned', () => {
    const bytes = Buffer.from(tokens.sign(claims), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(tokens.verify(changed.toString('base64url'), NOW)).toEqual({ state: 'invalid' });
    }
  });

  it('cannot be made up', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.stringMatching(/^AQ[\w-]{0,200}$/)), (token) => {
        expect(tokens.verify(token, NOW)).toEqual({ state: 'invalid' });
      }),
    );
    expect(tokens.verify('A'.repeat(100_000), NOW)).toEqual({ state: 'invalid' });
  });

  it('is known after it has expired', () => {
    const token = tokens.sign(claims);
    expect(tokens.verify(token, claims.expiresAt - 1)).toEqual({ state: 'valid', claims });
    expect(tokens.verify(token, claims.expiresAt)).toEqual({ state: 'expired', claims });
  });

  it('does not show the address', () => {
    expect(Buffer.from(tokens.sign(claims), 'base64url').toString('latin1')).not.toMatch(/ann|mail|news|c_abc/);
  });

  it('is the same for the same mail, and another for any other', () => {
    expect(tokens.sign({ ...claims })).toBe(tokens.sign(claims));
    const start = (one: Partial<UnsubscribeClaims>): string => tokens.sign({ ...claims, ...one }).slice(0, 20);
    const starts = [{}, { address: 'bob@mail.test' }, { list: 'offers' }, { id: 'c-0.1' }, { expiresAt: NOW }].map(
      start,
    );
    expect(new Set(starts).size).toBe(starts.length);
  });

  it('is signed with the first secret and read with any', () => {
    const before = new UnsubscribeTokens(['the secret of last year, 32 bytes long']);
    const both = new UnsubscribeTokens([secret, 'the secret of last year, 32 bytes long']);
    expect(both.verify(before.sign(claims), NOW)).toEqual({ state: 'valid', claims });
    expect(both.sign(claims)).toBe(tokens.sign(claims));
    expect(tokens.verify(before.sign(claims), NOW)).toEqual({ state: 'invalid' });
  });
});

describe('the link of a mail', () => {
  const links = new UnsubscribeLinks(tokens, DAY);
  const { expiresAt: _, ...about } = claims;
  const mail = { ...about, date: NOW };
  const token = tokens.sign(claims);

  it('is in both headers, and is the page where there is one', () => {
    const ways = { url: 'https://shop.test/u', mailto: 'mailto:out@shop.test', oneClick: true };
    expect(links.of(ways, mail)).toEqual({
      url: `https://shop.test/u?token=${token}`,
      headers: [
        [
          'List-Unsubscribe',
          `<https://shop.test/u?token=${token}>, <mailto:out@shop.test?subject=unsubscribe%20${token}>`,
        ],
        ['List-Unsubscribe-Post', 'List-Unsubscribe=One-Click'],
      ],
    });
  });

  it('keeps the query of the page', () => {
    expect(links.of({ url: 'https://shop.test/?page=u', oneClick: false }, mail)).toEqual({
      url: `https://shop.test/?page=u&token=${token}`,
      headers: [['List-Unsubscribe', `<https://shop.test/?page=u&token=${token}>`]],
    });
  });

  it('is a mail where there is no page', () => {
    const { url, headers } = links.of({ mailto: 'mailto:out@shop.test', oneClick: false }, mail);
    expect(headers).toEqual([['List-Unsubscribe', `<${url}>`]]);
    expect(url).toBe(`mailto:out@shop.test?subject=unsubscribe%20${token}`);
  });

  it('is found in the mail that a mail program makes of it', async () => {
    const raw = (subject: string): string => `From: ann@mail.test\r\nSubject: ${subject}\r\n\r\nPlease.\r\n`;
    for (const last of ['-', '_', 'A']) {
      const one = token.slice(0, -1) + last;
      expect(await tokenInMail(raw(`unsubscribe ${one}`))).toBe(one);
      expect(await tokenInMail(raw(`Re: Unsubscribe\r\n ${one} [external]`))).toBe(one);
    }
    const encoded = Buffer.from(`unsubscribe ${token}`).toString('base64');
    expect(await tokenInMail(raw(`=?utf-8?B?${encoded}?=`))).toBe(token);
    expect(await tokenInMail(raw('please unsubscribe me'))).toBeUndefined();
    expect(await tokenInMail('')).toBeUndefined();
  });

  it('reads no more of a mail than its headers, since anybody can send one', async () => {
    const parse = vi.spyOn(PostalMime, 'parse');
    onTestFinished(() => parse.mockRestore());
    const raw = `Subject: unsubscribe ${token}\r\n\r\n${'x\r\n'.repeat(100_000)}`;
    expect(await tokenInMail(raw)).toBe(token);
    expect(await tokenInMail(`X: ${'x\r\n '.repeat(100_000)}\r\n${raw}`)).toBeUndefined();
    const lengths = parse.mock.calls.map(([read]) => (read as Uint8Array).length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(64 * 1024);
  });
});

it.each([
  ['news', 'shop@shop.test', '<news.shop.test>'],
  ['weekly.offers_1', 'shop@우편.한국', '<weekly.offers_1.xn--vo5bi2v.xn--3e0b707e>'],
  ['..a...b.', 'root@localhost', '<a.b.localhost>'],
  ['.', 'root@localhost', '<list.localhost>'],
])('the list %s of %s is %s', (list, sender, expected) => {
  expect(listId(list, sender)).toBe(expected);
});
