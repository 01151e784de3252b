import 'reflect-metadata';
import { describe, expect, it, vi } from 'vitest';
import { InterceptorError, Veto, type Draft } from '../../src/delivery/interception.js';
import type { InterceptedMail } from '../../src/delivery/intercepted-mail.js';
import { Interceptors, type Interceptor } from '../../src/delivery/interceptors.js';
import { Preparation } from '../../src/delivery/preparation.js';
import { redirectTo, type RedirectOptions } from '../../src/delivery/redirect.js';
import { MailValidationError } from '../../src/errors.js';
import type { Message } from '../../src/message/message.js';
import { compose } from '../../src/mime/compose.js';
import { rawOf } from '../../src/mime/encoded.js';
import { rules } from '../message/rules.js';
import { plainMessage } from '../support/message.js';
import { parse } from '../support/parse.js';

const at = (address: string, name = '') => ({ name, address });
const whole = plainMessage({
  to: [at('ann@mail.test', 'Ann')],
  cc: [at('bob@mail.test')],
  bcc: [at('cy@mail.test')],
  replyTo: [at('help@shop.test')],
  text: 'Hello',
  html: '<p>Hello</p>',
  headers: [
    ['X-Tag', 'one'],
    ['List-ID', '<news.shop.test>'],
    ['X-Tag', 'two'],
  ],
  attachments: [{ filename: 'a.txt', disposition: 'inline', cid: 'a', content: Buffer.from('a') }],
});

function draft(message: Message = whole): Draft {
  return { id: 'm_1.0', messageId: '<m_1.0@shop.test>', lane: 'bulk', campaignId: 'c_1', message };
}

function run(message: Message, ...interceptors: Interceptor[]): Promise<Message> {
  return new Interceptors(interceptors, rules()).intercept(draft(message));
}

/** What the reply says, and whether another try is of no use. */
async function failure(...interceptors: Interceptor[]): Promise<[message: string, permanent: boolean, cause: unknown]> {
  const error: unknown = await run(whole, ...interceptors).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InterceptorError);
  const { message, permanent, cause, code } = error as InterceptorError;
  expect(code).toBe('INTERCEPTOR');
  return [message, permanent, cause];
}

describe('an interceptor', () => {
  it('sees the whole message, and cannot write to it', async () => {
    const seen: InterceptedMail[] = [];
    const source = { kind: 'template', name: 'welcome' } as const;
    await new Interceptors([(mail) => void seen.push(mail)], rules()).intercept({ ...draft(), source });
    const { headers, attachments, ...rest } = whole;
    expect(seen).toEqual([
      {
        ...rest,
        ...{ id: 'm_1.0', messageId: '<m_1.0@shop.test>', lane: 'bulk', campaignId: 'c_1', source },
        headers: { 'X-Tag': ['one', 'two'], 'List-ID': '<news.shop.test>' },
        attachments: [{ filename: 'a.txt', contentDisposition: 'inline', cid: 'a', content: Buffer.from('a') }],
      },
    ]);
    expect(headers).toHaveLength(3);
    expect(attachments).toHaveLength(1);
    const writes: ((mail: { to: { address: string }[]; headers: Record<string, unknown> }) => unknown)[] = [
      (mail) => (mail.to = []),
      (mail) => mail.to.push(at('eve@mail.test')),
      (mail) => (mail.to[0]!.address = 'eve@mail.test'),
      (mail) => (mail.headers['X-Tag'] = 'three'),
    ];
    for (const write of writes)
      expect((await failure(write as unknown as Interceptor))[0]).toMatch(/intercept\[0\] failed: Cannot/);
  });

  it('sees what was rendered, and from what', async () => {
    const seen: InterceptedMail[] = [];
    const interception = new Interceptors([(mail) => void seen.push(mail)], rules());
    const renderer = { missing: () => undefined, render: () => Promise.resolve({ subject: 'Welcome', text: 'Hi' }) };
    const source = { kind: 'mail', name: 'welcome' } as const;
    const rendered = plainMessage({ subject: '', rendering: { source, context: {} } });
    const made = await new Preparation(renderer, rules(), interception).prepare(draft(rendered));
    expect(seen).toMatchObject([{ subject: 'Welcome', text: 'Hi', source }]);
    expect(made).not.toHaveProperty('rendering');
  });

  it('that changes nothing leaves the very same message', async () => {
    const quiet: Interceptor[] = [() => undefined, () => true, (mail) => mail, async () => undefined];
    expect(await run(whole, ...quiet)).toBe(whole);
  });

  it('changes what it returns, and nothing else; the next one sees that', async () => {
    const subjects: string[] = [];
    const changed = await run(
      whole,
      ({ subject }) => ({ subject: `[1] ${subject}` }),
      async (mail) => ({ ...mail, subject: `[2] ${mail.subject}`, html: undefined, cc: 'Dee <dee@mail.test>' }),
      ({ subject }) => void subjects.push(subject),
    );
    const { html: _, ...rest } = whole;
    expect(changed).toEqual({
      ...rest,
      subject: '[2] [1] Hello',
      cc: [at('dee@mail.test', 'Dee')],
      headers: changed.headers,
    });
    expect(changed.headers.toSorted()).toEqual(whole.headers.toSorted());
    expect(subjects).toEqual(['[2] [1] Hello']);
  });

  it('that returns false vetoes the message, and no other is asked', async () => {
    const next = vi.fn();
    const veto = await run(
      whole,
      function holdBack() {
        return false;
      },
      next,
    ).catch((thrown: unknown) => thrown);
    expect(veto).toBeInstanceOf(Veto);
    expect(veto).toMatchObject({
      ...{ id: 'm_1.0', code: 'VETOED', permanent: true, outcome: 'not-sent' },
      message: 'Message m_1.0 is not sent: intercept: holdBack vetoed it',
    });
    expect(next).not.toHaveBeenCalled();
  });

  it('that throws is named, with its cause, and may be asked again', async () => {
    const cause = new Error('the service is away');
    const asks: Interceptor = () => Promise.reject(cause);
    expect(await failure(asks)).toEqual([
      'Message m_1.0 is not sent: intercept: asks failed: the service is away',
      false,
      cause,
    ]);
  });

  it('that never answers is not waited for', async () => {
    vi.useFakeTimers();
    try {
      const failed = failure(() => new Promise<void>(() => undefined));
      await vi.advanceTimersByTimeAsync(30_000);
      const [message, permanent] = await failed;
      expect(message).toBe('Message m_1.0 is not sent: intercept[0] failed: it has not answered within 30000 ms');
      expect(permanent).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each<[string, unknown]>([
    ['returned null', null],
    ['returned a list', []],
    ['returned a string', 'bulk'],
    ['changes lane, transport, which no interceptor can', { lane: 'priority', transport: 'x', id: 'm_1.0' }],
    [
      'made an invalid mail of it. The message is invalid: subject: must not contain CR',
      { subject: 'a\r\nBcc: x@y.test' },
    ],
    ['headers.X-A: must not contain CR', { headers: { 'X-A': 'a\r\nBcc: x@y.test' } }],
    ['headers.Bcc: is written from the message itself', { headers: { Bcc: 'x@y.test' } }],
    ['to: "nobody" is not an address', { to: 'nobody' }],
    ['to: at least one of to, cc and bcc is needed', { to: [], cc: undefined, bcc: [] }],
    ['to: 101 recipients, more than limits.recipients', { to: Array.from({ length: 99 }, (_, i) => `a${i}@b.test`) }],
    ['attachments[0].path: files are not read', { attachments: [{ path: '/etc/passwd' }] }],
  ])('is named when it %s', async (what, answer) => {
    const [message, permanent, cause] = await failure(() => answer as never);
    expect(message).toContain(what);
    expect(message).toContain('intercept[0]');
    expect(permanent).toBe(true);
    if (message.includes('invalid')) expect(cause).toBeInstanceOf(MailValidationError);
  });
});

describe('redirectTo()', () => {
  const redirected = (message: Message, options?: RedirectOptions) =>
    run(message, redirectTo('QA <qa@shop.test>', options));

  it('sends to one address, and tells whom it would have gone to', async () => {
    const first = await redirected(whole, { subjectPrefix: '[staging] ' });
    expect(first).toMatchObject({ to: [at('qa@shop.test', 'QA')], cc: [], bcc: [], subject: '[staging] Hello' });
    const { to, cc, headers } = await parse(rawOf(await compose(first, { messageId: '<x@y.test>', date: new Date() })));
    expect({ to, cc }).toEqual({ to: [at('qa@shop.test', 'QA')], cc: [] });
    expect(headers).toMatchObject({
      ...{ 'x-original-to': 'ann@mail.test', 'x-original-cc': 'bob@mail.test', 'x-original-bcc': 'cy@mail.test' },
      'list-id': '<news.shop.test>',
    });
  });

  it('leaves mail to that address alone', async () => {
    const own = plainMessage({ to: [at('qa@SHOP.test')] });
    expect(await redirected(own, { subjectPrefix: '!' })).toBe(own);
    const among = { ...own, cc: [at('ann@mail.test')] };
    expect(await redirected(among)).toMatchObject({ to: [at('qa@SHOP.test')], cc: [] });
  });

  it.each<[string, NonNullable<RedirectOptions['keep']>]>([
    ['domains', ['MAIL.test', 'bücher.test']],
    ['a pattern', /@(mail|xn--bcher-kva)\.test$/g],
  ])('keeps recipients by %s', async (_, keep) => {
    const kept = plainMessage({ to: [at('ann@mail.test')], bcc: [at('bob@xn--bcher-kva.test')] });
    const options = { keep };
    expect(await redirected(kept, options)).toBe(kept);
    expect(await redirected({ ...kept, cc: [at('x@sub.mail.test')] }, options)).toMatchObject({
      to: [at('ann@mail.test'), at('qa@shop.test', 'QA')],
      cc: [],
      bcc: [at('bob@xn--bcher-kva.test')],
      headers: [
        ['X-Original-To', 'ann@mail.test'],
        ['X-Original-Cc', 'x@sub.mail.test'],
        ['X-Original-Bcc', 'bob@xn--bcher-kva.test'],
      ],
    });
  });

  it('redirects what is larger than anything that is sent', async () => {
    const { limits } = rules();
    const large = {
      ...whole,
      subject: 'x '.repeat(limits.subjectBytes),
      html: 'x'.repeat(limits.bodyBytes + 1),
      headers: Array.from({ length: limits.headers + 1 }, (_, n): [string, string] => [`X-${n}`, 'x']),
      attachments: Array.from({ length: limits.attachments + 1 }, () => whole.attachments[0]!),
    };
    const { headers, attachments } = await redirected(large);
    expect([headers.length, attachments.length]).toEqual([limits.headers + 4, limits.attachments + 1]);
    const grown = (mail: InterceptedMail) => ({ attachments: [...mail.attachments, ...mail.attachments] });
    await expect(run(large, grown)).rejects.toThrow('more than limits.attachments');
  });

  it('tells as many recipients as fit into a header, and counts the others', async () => {
    const long = (index: number) => `${'l'.repeat(50)}${index}@${'d'.repeat(60)}.${'e'.repeat(60)}.test`;
    const many = plainMessage({ to: Array.from({ length: 100 }, (_, index) => at(long(index))) });
    const { headers } = await redirected(many);
    const [, told = ''] = headers[0]!;
    expect(headers).toHaveLength(1);
    expect(told).toMatch(/test and \d+ more$/);
    expect(told.split(', ').length + Number(/(\d+) more$/.exec(told)?.[1])).toBe(100);
  });

  it('replaces what stands in its headers already', async () => {
    const { headers } = await redirected({ ...whole, headers: [['x-original-to', 'eve@mail.test']], cc: [], bcc: [] });
    expect(headers).toEqual([['X-Original-To', 'ann@mail.test']]);
  });

  it.each<[string, () => unknown]>([
    ['one address', () => redirectTo('a@b.test, c@d.test')],
    ['one address', () => redirectTo('qa')],
    ['a list of domains', () => redirectTo('qa@b.test', { keep: ['@b.test'] })],
    ['a list of domains', () => redirectTo('qa@b.test', { keep: 'b.test' as never })],
    ['text for a subject', () => redirectTo('qa@b.test', { subjectPrefix: '\r\n' })],
  ])('says at boot that it takes %s', (what, make) => {
    expect(make).toThrow(what);
  });
});
