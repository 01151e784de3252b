import 'reflect-metadata';
import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MailMessageDto } from '../../src/message/dto.js';
import { parseMessage } from '../../src/message/parse.js';
import { isSurelyValid } from '../../src/message/surely-valid.js';
import { rules } from './rules.js';

const boundless = rules({
  recipients: Infinity,
  subjectBytes: Infinity,
  bodyBytes: Infinity,
  headers: Infinity,
  headerBytes: Infinity,
  contextBytes: Infinity,
});

describe('isSurelyValid', () => {
  it.each([
    { to: 'ann@mail.test', subject: 'Hello', text: 'Hi', html: '<p>Hi</p>' },
    {
      to: ['Ann <ann@mail.test>', { name: 'Bob', address: 'bob@mail.test' }],
      from: 'Shop <a@shop.test>',
      lane: 'bulk',
    },
    { cc: '이순신@우편.한국', urgency: 'low', delay: '5m', headers: { 'X-A': ['1', '2'] }, idempotencyKey: 'a-1' },
    { to: 'a@mail.test', template: 'welcome', context: { name: 'Ann' }, locale: 'ko', transport: 'main' },
  ])('is sure of %j', (message) => {
    expect(isSurelyValid(message)).toBe(true);
  });

  it('says yes to nothing that is refused, and what it says yes to is sent as any other message is', () => {
    const counts = { sure: 0, valid: 0, refused: 0 };
    fc.assert(
      fc.property(messages, (input) => {
        const sure = isSurelyValid(input);
        // The fast check does not know attachments, so that this goes to class-validator.
        const asked = outcome({ ...input, attachments: [] });
        const errors = validateSync(instance(input), { whitelist: true, forbidNonWhitelisted: true });
        if (sure) expect(errors).toEqual([]);
        expect(outcome(input)).toEqual(asked);
        counts[sure ? 'sure' : errors.length > 0 ? 'refused' : 'valid']++;
      }),
      { numRuns: 800 },
    );
    expect(Math.min(counts.sure, counts.refused)).toBeGreaterThan(80);
  });
});

function outcome(input: object): unknown {
  try {
    return parseMessage(input, boundless);
  } catch (error) {
    return (error as { errors?: unknown }).errors;
  }
}

function instance(input: object): MailMessageDto {
  const present = Object.entries(input).filter(([, value]) => value !== undefined && value !== null);
  return Object.assign(new MailMessageDto(), Object.fromEntries(present));
}

const address = fc.oneof(
  { weight: 4, arbitrary: fc.emailAddress() },
  fc.constantFrom(
    'root@localhost',
    '이순신@우편.한국',
    'a@[127.0.0.1]',
    '"q"@mail.test',
    'a@b.test\r\n',
    '{{ to }}',
    'x',
  ),
);
const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'grapheme' }) },
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    '\0',
    'a\r\nb',
    '\ud83d',
    '\uFE0F',
    '👋'.repeat(101),
    'x'.repeat(100),
    'x'.repeat(201),
    'w'.repeat(901),
  ),
);
const mailbox = fc.oneof(
  { weight: 4, arbitrary: address },
  fc.tuple(text, address).map(([name, entry]) => `${name} <${entry}>`),
  fc.record({ name: fc.oneof(text, fc.constant(undefined)), address }, { requiredKeys: ['address'] }),
);
const addresses = fc.oneof({ weight: 4, arbitrary: mailbox }, fc.array(mailbox, { maxLength: 3 }), text, fc.anything());
const moment = fc.oneof(
  fc.date({ noInvalidDate: false }),
  fc.constantFrom('2030-01-01T00:00:00Z', 'never', 0, NaN),
  fc.anything(),
);
const usually = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 12, arbitrary }, fc.constantFrom(null, undefined), fc.anything());
const known = fc.record(
  {
    to: usually(mailbox),
    subject: usually(text),
    text: usually(text),
    html: usually(text),
    lane: usually(fc.constantFrom('bulk', 'priority')),
  },
  { requiredKeys: ['to'] },
);
const rarer = fc.record({
  from: addresses,
  replyTo: addresses,
  cc: addresses,
  bcc: addresses,
  template: fc.oneof(fc.constantFrom('welcome', 'a/b', '../a'), text),
  context: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.anything()),
  locale: fc.oneof(fc.constantFrom('ko', 'en-GB', 'e n'), text),
  headers: fc.oneof(
    fc.dictionary(fc.constantFrom('X-A', 'Subject', 'x y', 'List-Id'), fc.oneof(text, fc.array(text))),
    fc.anything(),
  ),
  transport: text,
  sendAt: moment,
  expiresAt: moment,
  urgency: fc.constantFrom('high', 'urgent'),
  idempotencyKey: text,
  other: fc.anything(),
});
// One of them at a time, or nothing would be valid.
const messages = fc.tuple(known, rarer, fc.nat(25)).map(([often, seldom, nth]) => ({
  ...often,
  ...Object.fromEntries(Object.entries(seldom).slice(nth, nth + 1)),
}));
