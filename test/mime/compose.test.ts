import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Attachment, Message } from '../../src/message/message.js';
import { compose, envelopeAddress } from '../../src/mime/compose.js';
import { rawOf } from '../../src/mime/encoded.js';
import { plainMessage } from '../support/message.js';
import { parse } from '../support/parse.js';

const stamp = { messageId: '<p_1@shop.test>', date: new Date('2025-01-02T03:04:05Z') };

async function write(message: Partial<Message>): Promise<Buffer> {
  return rawOf(await compose(plainMessage(message), stamp));
}

const readBack = async (message: Partial<Message>) => parse(await write(message));
const longestLine = (raw: Buffer) =>
  raw
    .toString('latin1')
    .split('\r\n')
    .reduce((longest, line) => Math.max(longest, line.length), 0);
const subject = `주문이 확인되었습니다 ${'🎉 감사합니다 '.repeat(12)}끝`;

describe('compose', () => {
  it('writes what a mail program reads as the same message', async () => {
    const logo = randomBytes(300);
    const pdf = randomBytes(3_000);
    const attachments: Attachment[] = [
      {
        filename: '2025년 1월 거래명세서 (최종).pdf',
        contentType: 'application/pdf',
        content: pdf,
        disposition: 'attachment',
      },
      { filename: 'logo.png', cid: 'logo@shop.test', content: logo, disposition: 'inline' },
    ];
    const parsed = await readBack({
      from: { name: '상점, "최고"', address: 'shop@shop.test' },
      to: [
        { name: 'Lee, Ann', address: 'ann@mail.test' },
        { name: '', address: 'bob@mail.test' },
      ],
      cc: [{ name: '이순신', address: 'lee@mail.test' }],
      bcc: [{ name: 'Eve', address: 'eve@mail.test' }],
      replyTo: [{ name: 'Help Ünit', address: 'help@shop.test' }],
      subject,
      text: '안녕하세요\n\n.\n..dots\nfrom: me\n',
      html: '<p>안녕하세요 <img src="cid:logo@shop.test"></p>',
      headers: [
        ['X-Order', '17'],
        ['X-Note', '메모 – note'],
        ['X-Tag', 'a'],
        ['X-Tag', 'b'],
        ['List-Unsubscribe', '<https://shop.test/u/1>, <mailto:u@shop.test>'],
      ],
      attachments,
    });
    expect(parsed).toMatchObject({
      from: { name: '상점, "최고"', address: 'shop@shop.test' },
      to: [
        { name: 'Lee, Ann', address: 'ann@mail.test' },
        { name: '', address: 'bob@mail.test' },
      ],
      cc: [{ name: '이순신', address: 'lee@mail.test' }],
      bcc: [],
      replyTo: [{ name: 'Help Ünit', address: 'help@shop.test' }],
      subject,
      messageId: stamp.messageId,
      attachments: [
        {
          filename: 'logo.png',
          mimeType: 'image/png',
          disposition: 'inline',
          contentId: '<logo@shop.test>',
          content: logo,
        },
        {
          filename: '2025년 1월 거래명세서 (최종).pdf',
          mimeType: 'application/pdf',
          disposition: 'attachment',
          content: pdf,
        },
      ],
    });
    expect(parsed.text?.trimEnd()).toBe('안녕하세요\n\n.\n..dots\nfrom: me');
    expect(parsed.html?.trimEnd()).toBe('<p>안녕하세요 <img src="cid:logo@shop.test"></p>');
    expect(parsed.headers).toMatchObject({
      date: 'Thu, 02 Jan 2025 03:04:05 +0000',
      'x-order': '17',
      'x-tag': 'a\nb',
      'list-unsubscribe': '<https://shop.test/u/1>, <mailto:u@shop.test>',
    });
  });

  it('leaves Bcc out of the bytes, header and address', async () => {
    const raw = (await write({ bcc: [{ name: 'Eve', address: 'eve@mail.test' }] })).toString().toLowerCase();
    expect(raw).not.toContain('bcc');
    expect(raw).not.toContain('eve');
    const alone = await readBack({ to: [], bcc: [{ name: '', address: 'eve@mail.test' }] });
    expect(alone).toMatchObject({ to: [], cc: [], bcc: [] });
  });

  it('writes 10 MB byte by byte', async () => {
    const content = randomBytes(10 * 1024 * 1024);
    const raw = await write({ attachments: [{ filename: 'big.bin', content, disposition: 'attachment' }] });
    const [attachment] = (await parse(raw)).attachments;
    expect(attachment?.content.equals(content)).toBe(true);
    expect(longestLine(raw)).toBeLessThanOrEqual(78);
  });

  it.each(['text/plain', 'text/csv; charset=utf-8', 'application/json'])(
    'does not touch line ends of an attachment of type %s',
    async (contentType) => {
      const content = Buffer.from('a\nb\rc\r\n.\n\xff', 'latin1');
      const { attachments } = await readBack({
        attachments: [{ filename: 'a', contentType, content, disposition: 'attachment' }],
      });
      expect(attachments[0]?.content).toEqual(content);
    },
  );

  it.each([{}, { text: '' }, { html: '' }, { text: '', html: '' }, { text: '\n' }, { html: '<br>' }])(
    'writes a whole message for the body %j',
    async (body) => {
      const raw = await write({ ...body, subject: '' });
      expect(raw.toString()).toContain('\r\n\r\n');
      const parsed = await parse(raw);
      expect(parsed.to).toEqual([{ name: '', address: 'ann@mail.test' }]);
      expect(parsed.subject ?? '').toBe('');
      expect(parsed.text?.trim() ?? '').toBe('');
    },
  );

  it('keeps every line within 998 octets, folded and encoded', async () => {
    const raw = await write({
      from: { name: '이'.repeat(255), address: 'shop@shop.test' },
      to: Array.from({ length: 100 }, (_, index) => ({ name: `받는 사람 ${index}`, address: `ann${index}@우편.한국` })),
      subject: `${'x'.repeat(900)} ${'가'.repeat(600)}`,
      text: `${'x'.repeat(5_000)}\n${'가'.repeat(5_000)}`,
      html: `<p>${'y'.repeat(5_000)}</p>`,
      headers: [['X-Long', `${'z'.repeat(900)} `.repeat(8)]],
      attachments: [{ filename: `${'한'.repeat(250)}.pdf`, content: randomBytes(5_000), disposition: 'attachment' }],
    });
    expect(longestLine(raw)).toBeLessThanOrEqual(998);
    const parsed = await parse(raw);
    expect(parsed.text).toContain('x'.repeat(5_000));
    expect(parsed.subject).toBe(`${'x'.repeat(900)} ${'가'.repeat(600)}`);
    expect(parsed.attachments[0]?.filename).toBe(`${'한'.repeat(250)}.pdf`);
  });

  it('ends every line with CR LF, whatever the body came with', async () => {
    for (const body of ['a\nb\r\nc\rd', `한\n국\r\n어\r${'x'.repeat(200)}`]) {
      const raw = (await write({ text: body, html: body })).toString('latin1');
      expect(raw.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
    }
    expect((await readBack({ text: 'a\nb\r\nc\rd' })).text?.trimEnd()).toBe('a\nb\nc\nd');
  });

  it('is the same for the same message and stamp', async () => {
    const message = { subject, text: 'a', html: '<p>a</p>' };
    const withoutBoundary = (raw: Buffer) => raw.toString().replaceAll(/--_NmP-[0-9a-f]+/g, '');
    expect(withoutBoundary(await write(message))).toBe(withoutBoundary(await write(message)));
  });

  it.each(['Hi\r\nBcc: eve@evil.test', '=?utf-8?Q?Hi=0D=0ABcc:_eve@evil.test?='])(
    'cannot be given a header by the subject %j',
    async (text) => {
      const parsed = await readBack({ subject: text, from: { name: text, address: 'shop@shop.test' } });
      expect(parsed.bcc).toEqual([]);
      expect(Object.keys(parsed.headers)).not.toContain('bcc');
    },
  );

  it('writes international domains in ASCII, and international local parts as they are', async () => {
    const to = [
      { name: '', address: 'ann@우편.한국' },
      { name: '', address: '이순신@mail.test' },
    ];
    const raw = await write({ to });
    expect(raw.toString()).toContain('To: ann@xn--vo5bi2v.xn--3e0b707e, 이순신@mail.test');
  });
});

describe('envelopeAddress', () => {
  it.each([
    ['ann@mail.test', 'ann@mail.test'],
    ['Ann@MAIL.test', 'Ann@mail.test'],
    ['ann@우편.한국', 'ann@xn--vo5bi2v.xn--3e0b707e'],
    ['이순신@우편.한국', '이순신@xn--vo5bi2v.xn--3e0b707e'],
    ['ann@[127.0.0.1]', 'ann@[127.0.0.1]'],
    ['root@localhost', 'root@localhost'],
  ])('of %s is %s', (address, expected) => {
    expect(envelopeAddress(address)).toBe(expected);
  });
});
