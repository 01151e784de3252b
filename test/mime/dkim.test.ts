import fc from 'fast-check';
import DKIM from 'nodemailer/lib/dkim';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it, vi } from 'vitest';
import { DkimSigner, SIGNED_FIELDS } from '../../src/mime/dkim.js';
import { rawOf, type Encoded } from '../../src/mime/encoded.js';
import { relaxedBodyHash } from '../../src/mime/relaxed.js';
import { dkimKey, dkimResults } from '../support/dkim.js';

const rsa = dkimKey('rsa');
const ed25519 = dkimKey('ed', 'ed25519');
const signer = new DkimSigner([rsa]);

const encoded = (headers: string, body: string | Buffer): Encoded => ({
  headers: Buffer.from(`${headers}\r\n\r\n`),
  body: [Buffer.from(body)],
});
const hello = encoded('From: Shop <no-reply@shop.test>\r\nTo: ann@mail.test\r\nSubject: Hello', 'Hello, Ann!\r\n');

async function signed(message: Encoded, by = signer): Promise<Buffer> {
  return rawOf({ headers: await by.sign(message), body: message.body });
}

/** One tag of the first signature, unfolded. */
function tag(name: string, raw: Buffer): string | undefined {
  const [signature = ''] = raw.toString('latin1').split(/\r\n(?![ \t])/);
  return new RegExp(`[;\\s]${name}=([^;]*)`).exec(signature.replace(/\r\n/g, ''))?.[1]?.replace(/\s/g, '');
}

const word = fc.oneof(
  fc.stringMatching(/^[!-~]{1,12}$/),
  // Without the byte A0, which mailauth takes for white space in headers.
  fc.constantFrom('안녕하세요', 'Grüße', '.', '=20', 'b=', 'x'.repeat(200)),
);
const gap = fc.constantFrom(' ', '  ', '\t', ' \t ');
const textOf = (...gaps: fc.Arbitrary<string>[]) =>
  fc.array(fc.oneof(word, gap, ...gaps), { maxLength: 20 }).map((parts) => parts.join(''));
const body = textOf(fc.constantFrom('\u00a0', '\r\n', '\r\n\r\n', ' \r\n', '\t\r\n'));

const folded = fc
  .array(fc.tuple(word, fc.constantFrom(' ', '  ', '\t', '\r\n ', ' \r\n\t\t')), { maxLength: 6 })
  .chain((parts) => word.map((last) => [...parts.flat(), last].join('')));
const field = fc
  .tuple(
    fc.constantFrom(
      'To',
      'Cc',
      'Subject',
      'SUBJECT',
      'List-Unsubscribe',
      'List-Unsubscribe-Post',
      'X-Shop',
      'Received',
    ),
    fc.constantFrom(':', ': ', ':\t', ' : ', ':\r\n '),
    fc.oneof(folded, fc.constant('')),
    fc.constantFrom('', ' ', '\t '),
  )
  .map((parts) => parts.join(''))
  // A line of nothing but white space is not for headers (RFC 5322 §4.2).
  .filter((text) => !/\r\n[ \t]*(\r\n|$)/.test(text));
const headers = fc
  .tuple(fc.array(field, { maxLength: 6 }), fc.array(field, { maxLength: 6 }))
  .map(([before, after]) => [...before, 'From: Shop <no-reply@shop.test>', ...after].join('\r\n'));

describe('a DKIM signature', () => {
  it('is verified by others, whatever the message looks like', async () => {
    await fc.assert(
      fc.asyncProperty(headers, body, async (block, text) => {
        const raw = await signed(encoded(block, text));
        // SMTP ends the last line (RFC 5321 §4.1.1.4).
        const wire = /^$|\r\n$/.test(text) ? raw : Buffer.concat([raw, Buffer.from('\r\n')]);
        expect(await dkimResults(wire, rsa)).toEqual(['pass']);
      }),
      { numRuns: 300 },
    );
  });

  it('holds when white space is changed on the way, and lines are folded otherwise', async () => {
    const raw = await signed(encoded('From: a@shop.test\r\nSubject: One  two', 'One\t two\r\n\r\nthree\r\n\r\n\r\n'));
    const changed = raw
      .toString()
      .replace('Subject: One  two', 'SUBJECT :\r\n One\r\n\ttwo ')
      .replace('One\t two\r\n', 'One two  \r\n')
      .replace(/three\r\n\r\n\r\n$/, 'three\r\n');
    expect(changed).not.toBe(raw.toString());
    expect(await dkimResults(Buffer.from(changed), rsa)).toEqual(['pass']);
  });

  it('breaks with any other change', async () => {
    const raw = await signed(
      encoded('From: a@shop.test\r\nTo: b@mail.test\r\nTo: c@mail.test\r\nX-Shop: 1', 'Hello\r\n'),
    );
    const changed = (from: string, to: string) => dkimResults(Buffer.from(raw.toString().replace(from, to)), rsa);
    expect(await changed('X-Shop: 1', 'X-Shop: 2')).toEqual(['pass']);
    for (const [from, to] of [
      ['a@shop.test', 'b@shop.test'],
      ['b@mail.test', 'd@mail.test'],
      ['c@mail.test', 'd@mail.test'],
    ] as const) {
      expect(await changed(from, to)).toEqual(['fail: bad signature']);
    }
    expect(await changed('Hello', 'hello')).toEqual(['neutral: body hash did not verify']);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: raw.indexOf(' b=') - 1 }), async (at) => {
        const bytes = Buffer.from(raw);
        // Another letter in place of one, be it of the signature's tags or of what it covers.
        if (!/[a-z]/i.test(String.fromCharCode(bytes[at]!))) return;
        bytes[at] = bytes[at]! === 0x71 ? 0x7a : 0x71;
        expect(await dkimResults(bytes, rsa)).not.toContain('pass');
      }),
    );
  });

  it('may be of an Ed25519 key, and of several keys at once', async () => {
    const raw = await signed(hello, new DkimSigner([ed25519, rsa]));
    expect(await dkimResults(raw, rsa, ed25519)).toEqual(['pass', 'pass']);
    expect(tag('a', raw)).toBe('ed25519-sha256');
    expect(tag('s', raw)).toBe('ed');
    expect(await dkimResults(raw, dkimKey('ed', 'ed25519'), rsa)).toEqual(['fail: bad signature', 'pass']);
  });

  it('covers every field of the names it is to sign, the last one first', async () => {
    const block = 'To: a@mail.test\r\nX-Shop: 1\r\nFrom: s@shop.test\r\nto: b@mail.test\r\nSubject: x';
    const message = encoded(block, 'x\r\n');
    expect(tag('h', await signed(message))).toBe('from:subject:to:to');
    const chosen = await signed(message, new DkimSigner([rsa], ['x-shop', 'from', 'to', 'date']));
    expect(tag('h', chosen)).toBe('x-shop:from:to:to');
    expect(await dkimResults(chosen, rsa)).toEqual(['pass']);
  });

  it('has no line longer than 78 characters', async () => {
    const all = SIGNED_FIELDS.map((name) => `${name}: x`).join('\r\n');
    const long = dkimKey(`${'s'.repeat(30)}.${'t'.repeat(30)}`);
    const raw = await signed(encoded(all, ''), new DkimSigner([ed25519, long]));
    expect(await dkimResults(raw, long, ed25519)).toEqual(['pass', 'pass']);
    const lengths = raw
      .toString()
      .split('\r\n')
      .map((line) => line.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(78);
    expect(tag('h', raw)).toBe(SIGNED_FIELDS.join(':'));
  });

  it('is refused to a message without From, which it has to cover', async () => {
    await expect(signer.sign(encoded('To: a@mail.test', 'x\r\n'))).rejects.toThrow('There is no From field');
  });

  it('is made from one look at the body, however many messages share it', async () => {
    const shared = [Buffer.from('Hello  all!\r\n')];
    const looking = vi.spyOn(shared[0]!, 'copy');
    const sign = (to: string) => signer.sign({ ...encoded(`From: s@shop.test\r\nTo: ${to}`, ''), body: shared });
    await sign('a@mail.test');
    const looks = looking.mock.calls.length;
    expect(looks).toBeGreaterThan(0);
    const both = await Promise.all([sign('b@mail.test'), new DkimSigner([ed25519]).sign({ ...hello, body: shared })]);
    expect(looking).toHaveBeenCalledTimes(looks);
    expect(await dkimResults(rawOf({ headers: both[0], body: shared }), rsa)).toEqual(['pass']);
  });
});

describe('the hash of a body', () => {
  const { domainName, keySelector, pem } = dkimKey('nodemailer');
  const nodemailer = new DKIM({ domainName, keySelector, privateKey: pem });
  const hashOf = async (bytes: Buffer) =>
    tag('bh', await buffer(nodemailer.sign(Buffer.concat([Buffer.from('From: s@shop.test\r\n\r\n'), bytes]))));

  it('is the one nodemailer makes, of whatever bytes', async () => {
    const piece = fc.constantFrom('a', 'é', ' ', '\t', '\r\n', '\r', '\n', '  \r\n', '\u00a0', '\0');
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          body,
          fc.array(piece, { maxLength: 30 }).map((parts) => parts.join('')),
        ),
        async (text) => {
          const bytes = Buffer.from(text);
          expect(await relaxedBodyHash([bytes])).toBe(await hashOf(bytes));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is the same where a body is too long to be read in one go', async () => {
    for (let n = 252; n <= 260; n++) {
      const text = `${'long '.repeat(52_377)}${'x'.repeat(n)} \t \r\n\r\n \tnext line\n\n${'y'.repeat(300_000)} \r\n \r\n`;
      const bytes = Buffer.from(text);
      expect(await relaxedBodyHash([bytes])).toBe(await hashOf(bytes));
    }
  });

  it('of nothing is the hash of nothing', async () => {
    const nothing = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';
    for (const text of ['', '\r\n', ' \t\r\n\r\n']) expect(await relaxedBodyHash([Buffer.from(text)])).toBe(nothing);
  });
});
