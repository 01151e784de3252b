import fc from 'fast-check';
import MailComposer from 'nodemailer/lib/mail-composer';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { serialise } from '../../src/mime/serialise.js';
import { rawOf } from '../../src/mime/encoded.js';

type Mail = ConstructorParameters<typeof MailComposer>[0];

const composed = (mail: Mail) =>
  new MailComposer({
    ...mail,
    messageId: '<m@shop.test>',
    date: new Date(0),
    baseBoundary: 'fixed',
    newline: '\r\n',
  }).compile();

/** Words and lines such as mail has, and such as breaks encoders. */
const line = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ maxLength: 200 }),
  fc.constantFrom(
    '.',
    '..dots',
    'trailing  ',
    '\ttab',
    '=3D=',
    '--fixed',
    'From here',
    '안녕하세요 '.repeat(30),
    'x'.repeat(1_200),
  ),
  fc.constantFrom('שלום עולם', '👩‍👩‍👧‍👦 family', 'Subject: not a header', '<b>html</b> &amp;'),
);
// Bodies reach the composer with LF alone.
const body = fc.array(line, { maxLength: 12 }).map((lines) => lines.join('\n').replace(/\r\n?/g, '\n').toWellFormed());
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const attachment = fc.record({
  filename: fc.constantFrom('a.txt', 'Rechnung Nr. 7 für 김.pdf', 'quote".bin'),
  content: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  contentDisposition: fc.constantFrom('attachment' as const, 'inline' as const),
  cid: optional(fc.constantFrom('logo@shop')),
});
const mail = fc.record({
  from: fc.constantFrom({ name: 'Shop', address: 'a@shop.test' }, { name: 'Müller, "Inc."', address: 'b@shop.test' }),
  to: fc.constantFrom([{ name: '이순신', address: 'u@mail.test' }], [{ name: '', address: 'v@mail.test' }]),
  subject: line.map((text) => text.replace(/[\r\n]/g, ' ').toWellFormed()),
  text: optional(body),
  html: optional(body),
  attachments: fc.array(attachment, { maxLength: 2 }),
});

const withoutUndefined = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;

describe('serialise', () => {
  it('makes byte for byte what the composer streams', async () => {
    await fc.assert(
      fc.asyncProperty(mail, async ({ attachments, ...rest }) => {
        const given = { ...withoutUndefined(rest), attachments: attachments.map(withoutUndefined) } as Mail;
        const bytes = serialise(composed(given));
        expect(bytes && rawOf(bytes).toString('latin1')).toBe((await composed(given).build()).toString('latin1'));
      }),
      { numRuns: 1_000 },
    );
  });

  it('makes the same of attachments that stand for themselves', async () => {
    const large = fc.integer({ min: 23_000, max: 40_000 }).map((length) => Buffer.alloc(length, `of ${length}`));
    const attachments = fc.array(fc.oneof(large, fc.constant(Buffer.alloc(0)), fc.constant(Buffer.from('small'))));
    await fc.assert(
      fc.asyncProperty(mail, attachments, async ({ attachments: _, ...rest }, contents) => {
        const given = { ...withoutUndefined(rest), attachments: contents.map((content) => ({ content })) } as Mail;
        const bytes = serialise(composed(given));
        for (const piece of bytes!.body) expect(piece.subarray(-2).toString()).toBe('\r\n');
        expect(rawOf(bytes!).equals(await composed(given).build())).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('encodes an attachment that messages share once, and copies none of it', () => {
    const content = Buffer.alloc(100_000, 'shared');
    const pieces = [1, 2, 3].map(() => serialise(composed({ text: 'x', attachments: [{ content }] }))!.body);
    for (const body of pieces) {
      expect(body).toHaveLength(3);
      expect(body[1]).toBe(pieces[0]![1]);
    }
  });

  it('leaves to the composer what only a stream can tell', () => {
    const content = Readable.from(['streamed']);
    expect(serialise(composed({ text: 'x', attachments: [{ content }] }))).toBeUndefined();
    content.destroy();
    // A forwarded message keeps its own encoding.
    const forwarded = { filename: 'letter.eml', content: Buffer.from('Subject: Hi\r\n\r\nHello\r\n') };
    expect(serialise(composed({ text: 'x', attachments: [forwarded] }))).toBeUndefined();
  });
});
