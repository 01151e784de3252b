import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stuffDots } from '../../src/transport/smtp/dot-stuffing.js';

/** Lines are what everything here turns on, so most octets are what makes them. */
const octets = fc
  .array(
    fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0x0d, 0x0a, 0x2e, 0x61) }, fc.integer({ min: 0, max: 255 })),
    {
      maxLength: 40,
    },
  )
  .map((some) => Buffer.from(some));
const clean = fc
  .array(fc.stringMatching(/^([^.\r\n][^\r\n]{0,5})?$/), { minLength: 1, maxLength: 5 })
  .map((lines) => Buffer.from(lines.map((line) => `${line}\r\n`).join('')));

const text = (bytes: Buffer): string => bytes.toString('latin1');
const unstuffed = (bytes: Buffer): string => text(bytes).replace(/^\./gm, '');

describe('stuffed octets', () => {
  it('say the same when they are unstuffed, with CRLF at the end of each line', () => {
    fc.assert(
      fc.property(octets, (bytes) => {
        const lines = text(bytes).split(/\r\n|\r|\n/);
        if (lines.at(-1) === '') lines.pop();
        expect(unstuffed(stuffDots(bytes))).toBe(lines.map((line) => `${line}\r\n`).join(''));
      }),
      { numRuns: 3_000 },
    );
  });

  it('have no CR or LF that stands alone, no end of data and an end to the last line', () => {
    fc.assert(
      fc.property(octets, (bytes) => {
        const stuffed = text(stuffDots(bytes));
        expect(stuffed).not.toMatch(/\r(?!\n)|(?<!\r)\n/);
        expect(`\r\n${stuffed}`).not.toContain('\r\n.\r\n');
        if (stuffed !== '') expect(stuffed.endsWith('\r\n')).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each([
    ['.', '..\r\n'],
    ['.\r\n', '..\r\n'],
    ['..\r\n.a\r\n', '...\r\n..a\r\n'],
    ['a.\r\nb', 'a.\r\nb\r\n'],
    ['a\n.\nb\n', 'a\r\n..\r\nb\r\n'],
    ['a\r.\rb\r', 'a\r\n..\r\nb\r\n'],
    ['a\n\r\nb\r\n', 'a\r\n\r\nb\r\n'],
    ['\n\n', '\r\n\r\n'],
    ['\n', '\r\n'],
    ['', ''],
    ['é.\n', 'é.\r\n'],
  ])('of %j are %j', (bytes, stuffed) => {
    expect(text(stuffDots(Buffer.from(bytes, 'latin1')))).toBe(stuffed);
  });
});

it('octets that need nothing are returned as they are, not copied', () => {
  fc.assert(
    fc.property(clean, (bytes) => {
      expect(stuffDots(bytes)).toBe(bytes);
    }),
  );
  const large = Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(1_000));
  expect(stuffDots(large)).toBe(large);
});
