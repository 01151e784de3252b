import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { MailFake } from 'nestjs-priority-mail/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AppModule } from '../src/app.module.js';
import { CommentsRepository } from '../src/comments/comments.repository.js';
import { NewCommentMail } from '../src/comments/new-comment.mail.js';
import { InvoiceMail } from '../src/invoices/invoice.mail.js';
import { PasswordResetMail } from '../src/password-resets/password-reset.mail.js';
import { FollowersService } from '../src/posts/followers.service.js';
import { NewPostMail } from '../src/posts/new-post.mail.js';

const FOLLOWERS = [
  { email: 'hana@example.com', name: '김하나', locale: 'ko' },
  { email: 'sean@example.com', name: "Seán O'Brien", locale: 'en' },
  { email: 'noel@example.com', name: 'Noël' },
];

let app: INestApplication;
let mail: MailFake;

beforeEach(async () => {
  mail = new MailFake();
  const module = await mail
    .install(Test.createTestingModule({ imports: [AppModule] }))
    .overrideProvider(FollowersService)
    .useValue({ all: () => FOLLOWERS })
    .compile();
  app = module.createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
});

afterEach(() => app.close());

describe('a password reset', () => {
  test('is sent while the request runs, in the language of the member', async () => {
    await post('/password-resets', { email: 'jiwoo.kim@example.com' });

    const reset = mail.assertSent(PasswordResetMail, { to: 'jiwoo.kim@example.com', lane: 'priority' });
    expect(reset.subject).toBe('새 비밀번호를 설정해 주세요');
    const [link] = reset.links();
    expect(link).toMatch(/\?reset=[\w-]{32}$/);
    expect(reset.text).toContain(link);
  });

  test('that the mail server refuses is answered with its words', async () => {
    mail.failNext({ replyCode: 550, reply: '5.1.1 No such user' });
    const { status, body } = await post('/password-resets', { email: 'gone@example.com' });

    expect(status).toBe(502);
    expect(body.message).toContain('5.1.1 No such user');
    mail.assertNothingOutgoing();
  });

  test('waits in the queue while no mail server is in reach', async () => {
    mail.failNext(new Error('connect ECONNREFUSED 192.0.2.1:587'));
    const { body } = await post('/password-resets', { email: 'jiwoo.kim@example.com' });

    expect(body.status).toBe('queued');
    mail.assertQueued(PasswordResetMail, { to: 'jiwoo.kim@example.com' });
    await mail.deliverQueued();
    mail.assertSent(PasswordResetMail, { subject: '새 비밀번호를 설정해 주세요' });
  });
});

describe('a post', () => {
  test('reaches each follower in their own language', async () => {
    const { status, body } = await post('/posts', { author: 'Mina', title: 'Bees & flowers', text: 'They stayed.' });

    expect(status).toBe(202);
    expect(body.queued).toBe(FOLLOWERS.length);
    await mail.deliverQueued();
    mail.assertSent(NewPostMail, {
      to: 'hana@example.com',
      subject: 'Mina님의 새 글: Bees & flowers',
      text: /김하나님/,
    });
    const sent = mail.assertSent(NewPostMail, {
      to: 'sean@example.com',
      subject: 'Mina: Bees & flowers',
      lane: 'bulk',
    });
    expect(sent.text).toContain("Hello Seán O'Brien,");
    expect(sent.html).toContain('<h1>Bees &amp; flowers</h1>');
    mail.assertSent(NewPostMail, { to: 'noel@example.com', text: /^Hello Noël,/ });
    mail.assertOutgoingCount(FOLLOWERS.length);
  });

  test('tells on the page whom it could not reach', async () => {
    mail.failNext({ replyCode: 550, reply: '5.1.1 No such user' }, { to: 'hana@example.com' });
    await post('/posts', { author: 'Mina', title: 'Bees' });
    await mail.deliverQueued();

    const told = async (): Promise<void> => {
      const { body: latest } = await get('/mails/latest');
      expect(latest).toMatchObject([
        { text: expect.stringContaining('“Mina: Bees” went out to 2 of 3 readers') as string },
        { text: 'hana@example.com could not be reached: 550 5.1.1 No such user' },
      ]);
    };
    // A campaign's end is told within a second or two.
    await vi.waitFor(told, { timeout: 10_000 });
  });
});

describe('a comment', () => {
  let comments: string;

  beforeEach(async () => {
    const preview = [{ to: 'editor@example.com' }];
    const { body } = await post('/posts', { author: 'Mina Park', title: 'Bees', preview });
    comments = `/posts/${String(body.id)}/comments`;
  });

  test('is told to the author and to those who commented before', async () => {
    await post(comments, { author: '김지우', text: '반가워요!' });
    mail.assertOutgoingCount(1, NewCommentMail);

    const { status, body } = await post(comments, { author: 'Zoë Brontë', text: 'Same here' });
    expect({ status, body }).toMatchObject({ status: 201, body: { author: 'Zoë Brontë', notified: 2 } });
    await mail.deliverQueued();
    mail.assertSent(NewCommentMail, { to: 'mina.park@example.com', subject: 'Zoë Brontë commented on “Bees”' });
    mail.assertSent(NewCommentMail, { to: 'jiwoo.kim@example.com', subject: 'Zoë Brontë님의 댓글: Bees' });
    mail.assertNothingOutgoing({ to: 'zoe.bronte@example.com' });
  });

  test('that is not saved is told to nobody', async () => {
    vi.spyOn(app.get(CommentsRepository), 'save').mockRejectedValue(new Error('The disk is full'));
    const { status } = await post(comments, { author: '김지우', text: '반가워요!' });

    expect(status).toBe(500);
    mail.assertNothingOutgoing(NewCommentMail);
  });

  test('on no post tells nobody', async () => {
    const { status } = await post('/posts/unknown/comments', { author: '김지우', text: '반가워요!' });

    expect(status).toBe(404);
    mail.assertNothingOutgoing(NewCommentMail);
  });
});

describe('an invoice', () => {
  test('goes out at once with its PDF', async () => {
    const { status, body } = await post('/invoices', { email: 'jiwoo.kim@example.com' });

    expect({ status, body }).toMatchObject({ status: 201, body: { status: 'sent' } });
    const sent = mail.assertSent(InvoiceMail, { to: 'jiwoo.kim@example.com', lane: 'priority' });
    const [pdf] = sent.attachments;
    const year = new Date().getFullYear();
    expect(pdf).toMatchObject({ filename: `invoice-${year}-0001.pdf`, contentType: 'application/pdf' });
    const text = Buffer.from(pdf?.content ?? []).toString('latin1');
    expect(text).toMatch(/^%PDF-1\.4\n[^]*\(For jiwoo\.kim@example\.com\) Tj[^]*%%EOF\n$/);
    // Where the table of objects stands, and where it says that the first of them does.
    const at = Number(/startxref\n(\d+)/.exec(text)?.[1]);
    expect(text.slice(at, at + 6)).toBe('xref\n0');
    expect(text.slice(Number(/ f \n(\d{10})/.exec(text)?.[1])).slice(0, 7)).toBe('1 0 obj');
  });

  test('is queued for each member, with a PDF of their own', async () => {
    const { status, body } = await post('/invoices/yearly', {});

    expect({ status, body }).toEqual({ status: 202, body: { queued: 5 } });
    mail.assertQueued(InvoiceMail, { to: 'zoe.bronte@example.com' });
    await mail.deliverQueued();
    const sent = mail.assertSent(InvoiceMail, { to: 'haneul.lee@example.com', subject: /^청구서 / });
    expect(String(sent.attachments[0]?.content)).toContain('(For haneul.lee@example.com) Tj');
  });
});

describe('a reader who leaves', () => {
  const publish = async (): Promise<string> =>
    String((await post('/posts', { author: 'Mina', title: 'Bees' })).body.id);
  const suppressed = async (): Promise<unknown> =>
    ((await get('/suppressions')).body as unknown as { address: string; reason: string }[]).map(
      ({ address, reason }) => [address, reason],
    );
  const nextPostIsLeftOutFor = async (...addresses: string[]): Promise<void> => {
    mail.clear();
    await publish();
    await mail.deliverQueued();
    for (const to of addresses) expect(mail.sent({ to })).toEqual([]);
    expect(mail.sent(NewPostMail)).toHaveLength(FOLLOWERS.length - addresses.length);
  };

  test('by a mail program or in the browser gets no mail of the next post', async () => {
    await publish();
    await mail.deliverQueued();
    const linkOf = (to: string): string => {
      const sent = mail.assertSent(NewPostMail, { to });
      const [, token = ''] = /<[^>]*(\?token=[^>]+)>/.exec(String(sent.headers['list-unsubscribe'])) ?? [];
      expect(sent.text).toContain(token);
      return `/unsubscribe${token}`;
    };
    const page = await fetch((await app.getUrl()) + linkOf('hana@example.com'), {
      headers: { 'Accept-Language': 'ko' },
    });
    expect(await page.text()).toContain('hana@example.com 주소로 “New posts” 메일을 더 이상 받지 않으시겠습니까?');
    expect(await suppressed()).toEqual([]);

    for (const to of ['hana@example.com', 'sean@example.com']) {
      const body = new URLSearchParams({ 'List-Unsubscribe': 'One-Click' });
      const answer = await fetch((await app.getUrl()) + linkOf(to), { method: 'POST', body });
      expect(answer.status).toBe(200);
    }
    expect(await suppressed()).toEqual(
      expect.arrayContaining([
        ['hana@example.com', 'unsubscribed'],
        ['sean@example.com', 'unsubscribed'],
      ]),
    );
    await nextPostIsLeftOutFor('hana@example.com', 'sean@example.com');
  });

  test('since their mail comes back gets none until somebody says so', async () => {
    await publish();
    await mail.deliverQueued();
    expect(await post('/bounces', { email: 'noel@example.com' })).toMatchObject({
      status: 200,
      body: { kind: 'report', accepted: 1, matched: 1, forged: 0 },
    });
    expect(await suppressed()).toEqual([['noel@example.com', 'hard-bounce']]);
    await nextPostIsLeftOutFor('noel@example.com');

    const answer = await fetch(`${await app.getUrl()}/suppressions/noel@example.com`, { method: 'DELETE' });
    expect(answer.status).toBe(204);
    expect(await suppressed()).toEqual([]);
    expect(await post('/bounces', { email: 'stranger@example.com' })).toMatchObject({ status: 404 });
  });
});

test('health is down while the mail server is', async () => {
  expect(await get('/health')).toMatchObject({ status: 200, body: { info: { mail: { status: 'up' } } } });

  mail.failNext(new Error('connect ECONNREFUSED 192.0.2.1:587'), { times: 3 });
  for (let i = 0; i < 3; i++) await post('/password-resets', { email: 'jiwoo.kim@example.com' });
  expect(await get('/health')).toMatchObject({ status: 503, body: { error: { mail: { status: 'down' } } } });
});

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

const get = (path: string): Promise<Answer> => call(path);

const post = (path: string, input: object): Promise<Answer> =>
  call(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(input) });

async function call(path: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch((await app.getUrl()) + path, init);
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}
