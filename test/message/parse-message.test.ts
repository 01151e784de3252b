import 'reflect-metadata';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MailValidationError } from '../../src/errors.js';
import { envelopeRecipients, type MailMessageInput } from '../../src/message/message.js';
import { parseMessage } from '../../src/message/parse.js';
import { faultsOf, rules } from './rules.js';

const good = { to: 'ann@mail.test', subject: 'Hello', text: 'Hello' };
const parse = async (extra: object, limits = {}) => Promise.resolve(parseMessage({ ...good, ...extra }, rules(limits)));
const faults = (extra: object, limits = {}) => faultsOf(parse(extra, limits));

afterEach(() => {
  vi.useRealTimers();
});

describe('a good message', () => {
  it('comes out with all its parts', async () => {
    const message = parseMessage(
      {
        from: 'Ann <ann@shop.test>',
        to: ['bob@mail.test', { name: 'Cy', address: 'cy@mail.test' }],
        cc: 'dee@mail.test',
        bcc: '"E, F" <eff@mail.test>',
        replyTo: 'help@shop.test',
        subject: '주문 확인 📦',
        text: 'Line one\r\nLine two',
        html: '<p>한국어</p>',
        headers: { 'X-Order': '17', 'X-Tag': ['a', 'b'] },
        attachments: [{ filename: 'a.txt', content: 'x' }],
        transport: 'seoul',
        urgency: 'high',
        lane: 'bulk',
      },
      rules(),
    );
    expect(message).toEqual({
      from: { name: 'Ann', address: 'ann@shop.test' },
      to: [
        { name: '', address: 'bob@mail.test' },
        { name: 'Cy', address: 'cy@mail.test' },
      ],
      cc: [{ name: '', address: 'dee@mail.test' }],
      bcc: [{ name: 'E, F', address: 'eff@mail.test' }],
      replyTo: [{ name: '', address: 'help@shop.test' }],
      subject: '주문 확인 📦',
      text: 'Line one\r\nLine two',
      html: '<p>한국어</p>',
      headers: [
        ['X-Order', '17'],
        ['X-Tag', 'a'],
        ['X-Tag', 'b'],
      ],
      attachments: [{ filename: 'a.txt', content: Buffer.from('x'), disposition: 'attachment' }],
      transport: 'seoul',
      urgency: 'high',
      lane: 'bulk',
    });
  });

  it('needs no more than one recipient of whichever kind, and null is as good as absent', async () => {
    const nothing = {
      from: null,
      to: null,
      cc: undefined,
      subject: null,
      text: null,
      attachments: null,
      headers: null,
    };
    const message = parseMessage({ ...nothing, bcc: 'ann@mail.test' } as unknown as MailMessageInput, rules());
    expect(message).toEqual({
      from: { name: 'Shop', address: 'no-reply@shop.test' },
      to: [],
      cc: [],
      bcc: [{ name: '', address: 'ann@mail.test' }],
      replyTo: [],
      subject: '',
      headers: [],
      attachments: [],
    });
  });

  it('has its lone surrogates replaced', async () => {
    const bad = 'a\ud83d';
    const message = await parse({ subject: bad, text: bad, html: bad, headers: { 'X-A': bad } });
    expect([message.subject, message.text, message.html, message.headers[0]?.[1]]).toEqual(Array(4).fill('a\ufffd'));
  });

  it('leaves at sendAt or after delay, and expires', async () => {
    vi.useFakeTimers({ now: 1_000_000, toFake: ['Date'] });
    expect(await parse({ delay: '2m' })).toMatchObject({ sendAt: 1_120_000 });
    expect(await parse({ sendAt: new Date(2_000_000) })).toMatchObject({ sendAt: 2_000_000 });
    expect(await parse({ sendAt: '1970-01-01T01:00:00Z' })).toMatchObject({ sendAt: 3_600_000 });
    expect(await parse({ expiresAt: 2_000_000 })).toMatchObject({ expiresAt: 2_000_000 });
  });
});

describe('a bad message', () => {
  it('has every fault listed by its path, all at once', async () => {
    const error: unknown = await parse({
      from: 'a@shop.test, b@shop.test',
      to: ['ann@mail.test', 'nobody'],
      cc: 'Bob',
      replyTo: 5,
      subject: 5,
      text: 'a\0b',
      html: [],
      headers: { 'X-A': ['fine', 'a\r\nb'], 'X-B': 5 },
      attachments: [{ filename: 'a.txt', content: 5 }, { content: 'x', colour: 'red' }, { filename: 'empty' }],
      transport: 'x'.repeat(101),
      sendAt: 'some day',
      delay: 'soon',
      expiresAt: {},
      urgency: 'highest',
      lane: 'fast',
      priority: 'high',
    }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MailValidationError);
    const { errors, message, permanent, outcome } = error as MailValidationError;
    expect({ permanent, outcome }).toEqual({ permanent: true, outcome: 'not-sent' });
    expect(errors.map(({ path }) => path).sort()).toEqual([
      'attachments[0].content',
      'attachments[1].colour',
      'attachments[2]',
      'cc',
      'delay',
      'delay',
      'expiresAt',
      'from',
      'headers.X-A[1]',
      'headers.X-B',
      'html',
      'lane',
      'priority',
      'replyTo',
      'sendAt',
      'subject',
      'text',
      'to[1]',
      'transport',
      'urgency',
    ]);
    for (const fault of errors) expect(message).toContain(`${fault.path}: ${fault.message}`);
  });

  it.each([
    ['a typo', { sujbect: 'x' }, 'sujbect: is not a known field'],
    ["nodemailer's own fields", { envelope: {} }, 'envelope: is not a known field'],
    ['raw', { raw: 'x' }, 'raw: is not a known field'],
    ['amp', { amp: 'x' }, 'amp: is not a known field'],
    [
      'attachment URLs',
      { attachments: [{ content: 'x', href: 'http://x' }] },
      'attachments[0].href: is not a known field',
    ],
  ])('is not sent with %s passed over', async (_, extra, fault) => {
    expect(await faults(extra)).toEqual([fault]);
  });

  it.each([null, undefined, 'text', 5, []])('may be %j', async (input) => {
    expect(await faultsOf(() => parseMessage(input as unknown as MailMessageInput, rules()))).toEqual([
      'message: must be an object',
    ]);
  });

  it('does not get another prototype through __proto__', async () => {
    const input = JSON.parse('{"to":"ann@mail.test","__proto__":{"bcc":"eve@evil.test"}}') as MailMessageInput;
    expect(await faultsOf(() => parseMessage(input, rules()))).toHaveLength(1);
  });

  it('has no recipient', async () => {
    const fault = 'to: at least one of to, cc and bcc is needed';
    expect(await faults({ to: undefined })).toEqual([fault]);
    expect(await faults({ to: [], cc: [] })).toEqual([fault]);
    expect(await faults({ to: 'nobody' })).toEqual(['to: "nobody" is not an address']);
  });

  it('has no sender, and the options name none', async () => {
    const { from: _from, ...without } = rules();
    expect(await faultsOf(() => parseMessage(good, without))).toEqual([
      "from: is missing, and the module's options name no `from`",
    ]);
    expect(await faults({ from: [] })).toEqual(['from: must be one address, found 0']);
  });

  it('holds merge fields in its sender, which nothing fills in here', async () => {
    expect(await faults({ from: 'ann@{{domain}}' })).toEqual(['from: "ann@{{domain}}" is not an address']);
    expect(await faults({ replyTo: ['ann@{{domain}}'] })).toEqual(['replyTo[0]: "ann@{{domain}}" is not an address']);
  });

  it('is to leave twice, or to expire before it leaves', async () => {
    expect(await faults({ sendAt: 1_000, delay: '1s' })).toEqual([
      'delay: cannot be combined with sendAt; give one of them',
    ]);
    expect(await faults({ sendAt: 2_000, expiresAt: 2_000 })).toEqual([
      'expiresAt: is not after the time the message is to be sent',
    ]);
    expect(await faults({ delay: '1h', expiresAt: Date.now() })).toHaveLength(1);
  });
});

describe('headers', () => {
  it.each(['\r\nBcc: eve@evil.test', '\n', '\r', '\0'])('take no %j, wherever it hides', async (breaker) => {
    expect(await faults({ subject: `Hi${breaker}` })).toEqual(['subject: must not contain CR, LF or NUL']);
    expect(await faults({ headers: { 'X-A': `a${breaker}` } })).toEqual([
      'headers.X-A: must not contain CR, LF or NUL',
    ]);
    expect(await faults({ headers: { 'X-A': ['a', `a${breaker}`] } })).toHaveLength(1);
    expect(await faults({ headers: { [`X-A${breaker}`]: 'a' } })).toHaveLength(1);
    expect(await faults({ from: { name: `Shop${breaker}`, address: 'shop@shop.test' } })).toHaveLength(1);
    expect(await faults({ replyTo: `Shop${breaker} <shop@shop.test>` })).toHaveLength(1);
    for (const field of ['filename', 'contentType', 'cid']) {
      const value = field === 'contentType' ? `text/plain${breaker}` : `a${breaker}`;
      expect(await faults({ attachments: [{ content: 'x', [field]: value }] })).toHaveLength(1);
    }
  });

  it.each(
    ['From', 'to', 'CC', 'Bcc', 'Sender', 'Reply-To', 'Subject', 'Date', 'Message-ID', 'MIME-Version'].concat(
      'Content-Type',
      'content-transfer-encoding',
      'DKIM-Signature',
      'Return-Path',
      'Received',
    ),
  )('do not contradict the message: %s', async (name) => {
    expect(await faults({ headers: { [name]: 'x' } })).toEqual([
      `headers.${name}: is written from the message itself; use the field of that name`,
    ]);
  });

  it('take no word that fills more than a line', async () => {
    const long = 'must not contain a word of more than 900 characters';
    expect(await faults({ subject: `Hi ${'x'.repeat(901)}` })).toEqual([`subject: ${long}`]);
    expect(await faults({ headers: { 'X-A': 'x'.repeat(901) } })).toEqual([`headers.X-A: ${long}`]);
    expect(await faults({ subject: '가'.repeat(600), headers: { 'X-A': `${'x'.repeat(900)} `.repeat(9) } })).toEqual(
      [],
    );
  });

  it.each(['X A', 'X:A', 'Ä', '', 'X'.repeat(77)])('have no name %j', async (name) => {
    expect(await faults({ headers: { [name]: 'x' } })).toEqual([
      `headers: ${JSON.stringify(name)} is not a header name`,
    ]);
  });

  it.each([[['X-A', 'b']], [new Map([['X-A', 'b']])], ['X-A: b'], [5]])(
    'are an object of names and values, not %j',
    async (headers) => {
      expect(await faults({ headers })).toEqual(['headers: must be an object of header names and values']);
    },
  );

  it('of lists and threads are the caller’s', async () => {
    const headers = {
      'List-Unsubscribe': '<https://shop.test/u/1>',
      'In-Reply-To': '<1@shop.test>',
      Importance: 'high',
    };
    expect((await parse({ headers })).headers).toEqual(Object.entries(headers));
  });
});

describe('the envelope recipients', () => {
  it('are to, cc and bcc in this order, each once', async () => {
    const message = await parse({
      to: 'a@mail.test, b@mail.test',
      cc: ['c@mail.test', 'a@mail.test'],
      bcc: 'd@mail.test',
    });
    expect(envelopeRecipients(message)).toEqual(['a@mail.test', 'b@mail.test', 'c@mail.test', 'd@mail.test']);
  });
});

describe('limits', () => {
  it.each([
    [
      'recipients',
      { recipients: 2 },
      { cc: 'bob@mail.test, cy@mail.test' },
      'to: 3 recipients, more than limits.recipients (2); use sendBulk() for many',
    ],
    ['subjectBytes', { subjectBytes: 5 }, { subject: '가나' }, 'subject: 6 bytes, more than limits.subjectBytes (5)'],
    ['bodyBytes of the text', { bodyBytes: 5 }, { text: '가나' }, 'text: 6 bytes, more than limits.bodyBytes (5)'],
    ['bodyBytes of the HTML', { bodyBytes: 5 }, { html: '가나' }, 'html: 6 bytes, more than limits.bodyBytes (5)'],
    ['headers', { headers: 1 }, { headers: { 'X-A': ['a', 'b'] } }, 'headers: 2 headers, more than limits.headers (1)'],
    [
      'headerBytes',
      { headerBytes: 5 },
      { headers: { 'X-A': '가나' } },
      'headers.X-A: 6 bytes, more than limits.headerBytes (5)',
    ],
    [
      'attachments',
      { attachments: 1 },
      { attachments: [{ content: '' }, { content: '' }] },
      'attachments: 2 attachments, more than limits.attachments (1)',
    ],
    [
      'attachmentBytes',
      { attachmentBytes: 5 },
      { attachments: [{ content: '123' }, { content: '456' }] },
      'attachments[1]: the attachments together are larger than limits.attachmentBytes (5)',
    ],
  ])('hold: %s', async (_, limits, extra, fault) => {
    expect(await faults(extra, limits)).toEqual([fault]);
    expect(await faults(extra)).toEqual([]);
  });

  it('are reached without a fault', async () => {
    const limits = { recipients: 1, subjectBytes: 5, bodyBytes: 5, headers: 1, headerBytes: 5, attachments: 1 };
    const extra = { headers: { 'X-A': '12345' }, attachments: [{ content: '12345' }] };
    expect(await faults(extra, { ...limits, attachmentBytes: 5 })).toEqual([]);
  });
});
