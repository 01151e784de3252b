import 'reflect-metadata';
import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecipientDto } from '../../src/message/dto.js';
import { DEFAULT_LIMITS } from '../../src/message/limits.js';
import { parseRecipient, recipientKey } from '../../src/message/recipient.js';

const parse = (input: unknown, groups: Record<string, unknown> = {}) =>
  parseRecipient(input, 3, DEFAULT_LIMITS, groups);
const faultsOf = (input: unknown) => {
  const parsed = parse(input);
  return 'faults' in parsed ? parsed.faults.map(({ path, message }) => `${path}: ${message}`) : [];
};

describe('parseRecipient', () => {
  it.each([
    ['ann@mail.test', { name: '', address: 'ann@mail.test' }],
    ['"Lee, Ann" <ann@우편.한국>', { name: 'Lee, Ann', address: 'ann@우편.한국' }],
    [
      { name: '이순신', address: 'lee@mail.test' },
      { name: '이순신', address: 'lee@mail.test' },
    ],
    [['ann@mail.test'], { name: '', address: 'ann@mail.test' }],
  ])('takes one address: %j', (to, address) => {
    expect(parse({ to })).toMatchObject({ recipient: { to: address } });
  });

  it('takes all there is to a recipient, made fit for the store', () => {
    const input = { to: 'a@mail.test', context: { at: new Date(0) }, group: 'a\ud83d', idempotencyKey: 'k\ud83d' };
    expect(parse(input, { 'a\ufffd': {} })).toMatchObject({
      recipient: {
        to: { name: '', address: 'a@mail.test' },
        context: { at: '1970-01-01T00:00:00.000Z' },
        group: 'a\ufffd',
        idempotencyKey: 'k\ufffd',
      },
    });
    expect(parse({ to: 'a@mail.test', context: null, group: undefined, idempotencyKey: null })).toMatchObject({
      recipient: { to: { name: '', address: 'a@mail.test' } },
    });
  });

  it('names every fault by its path', () => {
    expect(
      faultsOf({ to: 'a@mail.test, b@mail.test', context: { a: '\0' }, group: 'acme', idempotencyKey: '\0', cc: 'x' }),
    ).toEqual([
      'recipients[3].cc: is not a known field',
      'recipients[3].to: must be one address, found 2',
      'recipients[3].context: contains a NUL character',
      'recipients[3].idempotencyKey: must be a string of at most 255 characters without NUL',
      'recipients[3].group: "acme" is not one of the campaign\'s groups',
    ]);
    expect(faultsOf({ to: 'a@mail.test\r\nBcc: eve@evil.test' })).toHaveLength(1);
    expect(faultsOf({})).toEqual(['recipients[3].to: must be one address, found 0']);
  });

  it.each([null, undefined, 'ann@mail.test', 5])('refuses %j, which is no recipient', (input) => {
    expect(faultsOf(input)).toEqual(['recipients[3]: must be an object with a `to`']);
  });

  it('finds no group in what every object inherits', () => {
    expect(faultsOf({ to: 'a@mail.test', group: 'toString' })).toHaveLength(1);
  });

  it('limits the context', () => {
    const context = { text: '가'.repeat(DEFAULT_LIMITS.contextBytes / 3) };
    expect(faultsOf({ to: 'a@mail.test', context })).toEqual([
      expect.stringContaining(`more than limits.contextBytes (${DEFAULT_LIMITS.contextBytes})`),
    ]);
  });

  it('finds a fault exactly where class-validator finds one in a RecipientDto', () => {
    // Limits and groups are not the DTO's business.
    const boundless = { ...DEFAULT_LIMITS, contextBytes: Infinity };
    const anyGroup = new Proxy({}, { getOwnPropertyDescriptor: () => ({ configurable: true, value: {} }) });
    const counts = { good: 0, bad: 0 };

    fc.assert(
      fc.property(recipients, (input) => {
        const parsed = parseRecipient(input, 0, boundless, anyGroup);
        const faults = 'faults' in parsed ? parsed.faults : [];
        const fields = faults.map(({ path }) => path.replace(/^recipients\[0\]\.?/, '').replace(/^to\[\d+\]$/, 'to'));
        const errors = validateSync(Object.assign(new RecipientDto(), input), {
          whitelist: true,
          forbidNonWhitelisted: true,
        });
        counts[errors.length === 0 ? 'good' : 'bad']++;
        expect([...new Set(fields)].sort()).toEqual(errors.map(({ property }) => property).sort());
      }),
      { numRuns: 3_000 },
    );
    expect(Math.min(counts.good, counts.bad)).toBeGreaterThan(300);
  });
});

describe('recipientKey', () => {
  const to = { name: 'Ann', address: 'Ann@MAIL.test' };

  it('is the mailbox, or the key the caller chose', () => {
    expect(recipientKey({ to })).toBe('Ann@mail.test');
    expect(recipientKey({ to, idempotencyKey: 'Ann@mail.test' })).not.toBe('Ann@mail.test');
  });
});

const addresses = fc.oneof(
  fc.emailAddress(),
  fc.constantFrom('root@localhost', '이순신@우편.한국', 'a@[127.0.0.1]', '"q"@mail.test', 'a@b.test\r\n', 'a@b@c.test'),
);
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', minLength: 120, maxLength: 300, size: 'max' }),
  fc.constantFrom('', '\0', '\ud83d', '👋'.repeat(127), '👋'.repeat(128), 'x'.repeat(255), 'x'.repeat(256)),
);
const names = fc.oneof(fc.string({ unit: 'grapheme' }), text, fc.anything());
const to = fc.oneof(
  { weight: 6, arbitrary: addresses },
  addresses.map((address) => `"Lee, Ann" <${address}>`),
  fc.record({ name: names, address: addresses }, { requiredKeys: ['address'] }),
  fc.array(addresses, { maxLength: 3 }),
  fc.array(addresses, { maxLength: 3 }).map((list) => list.join(', ')),
  text,
  fc.anything(),
);
const everything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
});
const contexts = fc.oneof(
  { weight: 4, arbitrary: fc.dictionary(fc.string(), fc.jsonValue()) },
  fc.dictionary(text, everything),
  everything,
);
const keys = fc.oneof({ weight: 3, arbitrary: fc.string() }, text, fc.anything());
// class-validator takes what every object inherits for known fields.
const unknown = fc.dictionary(
  fc.string().filter((key) => !(key in RecipientDto.prototype)),
  fc.anything(),
  { maxKeys: 2 },
);
const fields = fc.record({ to, context: contexts, group: keys, idempotencyKey: keys }, { requiredKeys: ['to'] });
const recipients = fc.oneof(
  { weight: 5, arbitrary: fields },
  fc.tuple(fields, unknown).map(([known, more]) => ({ ...more, ...known })),
  unknown,
);
