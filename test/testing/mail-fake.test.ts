import 'reflect-metadata';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { getQueueToken } from '@nestjs/bullmq';
import { Injectable, Module, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { Queue } from 'bullmq';
import { onTestFinished, describe, expect, it } from 'vitest';
import { MailDeliveryError } from '../../src/errors.js';
import { getMailToken } from '../../src/nest/inject-mail.js';
import { Mail, type Mailable } from '../../src/nest/mail-class.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { OnMail } from '../../src/nest/on-mail.js';
import { MailWorker } from '../../src/nest/mail-worker.js';
import type { MailModuleOptions, TransportConfig } from '../../src/nest/options/types.js';
import type { TemplateEngine } from '../../src/templates/engine.js';
import { MailFake, type MailAssertionError } from '../../src/testing/index.js';

const TRANSPORTS: TransportConfig[] = [
  { name: 'seoul', url: 'smtp://user:pass@smtp.seoul.invalid:587', region: 'kr', lanes: ['priority'] },
  { name: 'virginia', url: 'smtps://smtp.va.invalid', region: 'us', rateLimit: { messages: 1, per: '1h' } },
];

async function start(options: Partial<MailModuleOptions> = {}, fake = new MailFake(), providers: Type[] = []) {
  @Module({
    imports: [
      MailModule.forRoot({
        from: 'Shop <no-reply@shop.test>',
        region: 'kr',
        transports: TRANSPORTS,
        queue: { connection: 'redis://redis.invalid:1' },
        ...options,
      }),
    ],
    providers,
  })
  class AppModule {}
  const app = await fake.install(Test.createTestingModule({ imports: [AppModule] })).compile();
  await app.init();
  onTestFinished(() => app.close());
  return { fake, app, mail: app.get(MailService) };
}

const failure = (assertion: () => unknown): MailAssertionError => {
  try {
    assertion();
  } catch (error) {
    return error as MailAssertionError;
  }
  throw new Error('It held');
};

describe('MailFake', () => {
  it('takes priority mail over the transports of the configuration, encoded', async () => {
    const { fake, mail } = await start();
    const receipt = await mail.send({
      to: 'Ann <ann@a.test>',
      bcc: 'audit@shop.test',
      subject: 'Ihr Kännwort — 비밀번호',
      text: 'Open https://shop.test/reset?a=1&b=2.',
      html: '<a href="https://shop.test/reset?a=1&amp;b=2">Öffnen</a>',
      headers: { 'X-Kind': 'reset' },
      attachments: [{ filename: '영수증 2026.pdf', content: Buffer.from([0, 1, 2, 255]) }],
    });
    expect(receipt).toMatchObject({ status: 'sent', transport: 'seoul', rejected: [] });
    const sent = fake.assertSent({
      to: 'ann@a.test',
      subject: /비밀번호$/,
      lane: 'priority',
      transport: 'seoul',
      attachments: [/\.pdf$/],
    });
    expect(sent.id).toBe(receipt.id);
    expect(sent.subject).toBe('Ihr Kännwort — 비밀번호');
    expect(sent.text).toBe('Open https://shop.test/reset?a=1&b=2.');
    expect(sent.html).toBe('<a href="https://shop.test/reset?a=1&amp;b=2">Öffnen</a>');
    expect(sent.links()).toEqual(['https://shop.test/reset?a=1&b=2']);
    expect(sent.headers).toMatchObject({ 'x-kind': 'reset', from: 'Shop <no-reply@shop.test>' });
    expect(sent.envelope).toEqual({ from: 'no-reply@shop.test', to: ['ann@a.test', 'audit@shop.test'] });
    expect(sent.raw).not.toContain('audit@shop.test');
    expect(sent.attachments).toEqual([
      { filename: '영수증 2026.pdf', contentType: 'application/pdf', content: Buffer.from([0, 1, 2, 255]) },
    ]);
    expect(await mail.status(receipt.id)).toMatchObject({ state: 'sent' });
  });

  it('finds links however they are written, each once', async () => {
    const { fake, mail } = await start();
    const html =
      '<a href=https://a.test/bare?a=1>1</a> <a href="https://a.test/?t&#x3D;1&#38;u&#61;2">2</a> <a href="https://a.test/b_(c)?">3</a>';
    const text = 'See https://a.test/?t=1&u=2, (https://a.test/b_(c)?), https://a.test/b. and https://a.test/bare?a=1.';
    await mail.send({ to: 'ann@a.test', subject: 'x', html, text });
    expect(fake.assertSent().links()).toEqual([
      'https://a.test/bare?a=1',
      'https://a.test/?t=1&u=2',
      'https://a.test/b_(c)?',
      'https://a.test/b',
    ]);
  });

  it('holds queued mail until the test delivers it', async () => {
    const { fake, mail } = await start();
    const receipt = await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'News', text: 'x' });
    await mail.sendBulk({
      id: 'spring',
      subject: 'Hi {{name}}',
      text: 'Dear {{name}}',
      recipients: [
        { to: 'bob@b.test', context: { name: 'Bob' } },
        { to: 'cid@c.test', context: { name: 'Cid' } },
      ],
    });
    expect(fake.sent()).toEqual([]);
    expect(fake.assertQueued({ to: 'bob@b.test' })).toMatchObject({ subject: 'Hi Bob', text: 'Dear Bob' });
    fake.assertOutgoingCount(3);
    expect(await mail.status(receipt.id)).toMatchObject({ state: 'queued' });
    expect(await fake.deliverQueued()).toEqual({ sent: 3, failed: 0, deferred: 0, queued: 0 });
    expect(fake.sent({ lane: 'bulk', transport: 'virginia' }).map(({ subject }) => subject)).toEqual([
      'News',
      'Hi Bob',
      'Hi Cid',
    ]);
    expect(fake.queued()).toEqual([]);
    fake.assertOutgoingCount(3);
    expect(await mail.status(receipt.id)).toMatchObject({ state: 'sent' });
    expect(await mail.campaign('spring')).toMatchObject({ state: 'completed', sent: 2 });
  });
});

describe('failNext', () => {
  const letter = { to: 'ann@a.test', subject: 'Code', text: '1' };

  it('fails the next priority mail at every transport, and none after it', async () => {
    const { fake, mail } = await start();
    fake.failNext({ replyCode: 451, reply: '4.3.0 Try again later' });
    const error = await mail.send(letter).catch((e: unknown) => e);
    expect(error).toMatchObject({
      name: 'MailDeliveryError',
      permanent: false,
      outcome: 'not-sent',
      attempts: [
        { transport: 'seoul', phase: 'rcpt', replyCode: 451, enhancedCode: '4.3.0' },
        { transport: 'virginia', phase: 'rcpt', replyCode: 451 },
      ],
    });
    fake.assertNothingOutgoing();
    expect(await mail.send(letter)).toMatchObject({ transport: 'seoul' });
  });

  it('fails at one transport alone, so that another takes over', async () => {
    const { fake, mail } = await start();
    fake.failNext(new Error('connect ECONNREFUSED'), { transport: 'seoul' });
    expect(await mail.send(letter)).toMatchObject({ transport: 'virginia' });
  });

  it.each<[string, Parameters<MailFake['failNext']>[0], object]>([
    ['a permanent refusal', { replyCode: 550, reply: '5.1.1 No such user' }, { permanent: true, outcome: 'not-sent' }],
    [
      'no answer to the body',
      { phase: 'body', reply: 'Connection lost' },
      { permanent: false, outcome: 'unknown', attempts: [{ phase: 'body' }] },
    ],
    [
      'a refused login',
      { phase: 'auth', replyCode: 535, reply: '5.7.8 Bad credentials' },
      { permanent: false, attempts: [{ phase: 'auth', transport: 'seoul' }, { transport: 'virginia' }] },
    ],
    ['a socket error', new Error('connect ECONNREFUSED'), { permanent: false, outcome: 'not-sent' }],
    [
      'another mail’s failure',
      new MailDeliveryError('p_1', [
        { transport: 'x', phase: 'final', outcome: 'not-sent', permanent: true, reply: '554 5.7.1 Spam', duration: 1 },
      ]),
      {
        permanent: true,
        outcome: 'not-sent',
        attempts: [{ transport: 'seoul', phase: 'final', reply: '554 5.7.1 Spam' }],
      },
    ],
  ])('as a server would: %s', async (_, failure, expected) => {
    const { fake, mail } = await start();
    fake.failNext(failure);
    await expect(mail.send(letter)).rejects.toMatchObject(expected);
  });

  it('refuses one recipient of a message, and takes the others', async () => {
    const { fake, mail } = await start();
    fake.failNext({ replyCode: 550, reply: '5.1.1 No such user' }, { to: 'gone@a.test' });
    const receipt = await mail.send({ ...letter, to: ['ann@a.test', 'gone@a.test'] });
    fake.failNext({ replyCode: 550, reply: '5.1.1 No such user' }, { to: 'Bob@B.test' });
    await expect(mail.send({ ...letter, to: 'bob@b.test' })).rejects.toThrow('No such user');
    expect(receipt).toMatchObject({ accepted: ['ann@a.test'], rejected: ['gone@a.test'] });
    expect(fake.assertSent().to).toEqual(['ann@a.test']);
  });

  it('puts a queued mail off, until its next attempt is due', async () => {
    const { fake, mail } = await start();
    const { id } = await mail.send({ ...letter, lane: 'bulk' });
    fake.failNext({ replyCode: 450, reply: '4.2.1 Mailbox busy' });
    expect(await fake.deliverQueued()).toEqual({ sent: 0, failed: 0, deferred: 1, queued: 1 });
    expect(await mail.status(id)).toMatchObject({ state: 'deferred', reply: '450 4.2.1 Mailbox busy', attempts: 1 });
    expect(await fake.deliverQueued()).toMatchObject({ sent: 0, queued: 1 });
    expect(await fake.deliverQueued({ delayed: true })).toMatchObject({ sent: 1, queued: 0 });
    expect(await mail.status(id)).toMatchObject({ state: 'sent' });
  });

  it.each([
    ['busy', { replyCode: 421, reply: '4.7.0 Slow down' }],
    ['down', new Error('connect ECONNREFUSED')],
  ])('a transport that is %s keeps queued mail waiting, and no test', async (_, failure) => {
    const { fake, mail } = await start();
    await mail.send({ ...letter, lane: 'bulk' });
    fake.failNext(failure);
    expect(await fake.deliverQueued()).toMatchObject({ sent: 0, failed: 0, queued: 1 });
    expect(await fake.deliverQueued({ delayed: true })).toMatchObject({ sent: 1, queued: 0 });
  });

  it('gives a queued mail up as often as the options say', async () => {
    const { fake, mail } = await start();
    const { id } = await mail.send({ ...letter, lane: 'bulk' });
    fake.failNext({ replyCode: 450, reply: '4.2.1 Mailbox busy' }, { times: 9 });
    expect(await fake.deliverQueued({ until: '1d' })).toEqual({ sent: 0, failed: 1, deferred: 0, queued: 0 });
    expect(await mail.status(id)).toMatchObject({ state: 'failed', attempts: 5 });
  });
});

describe('deliverQueued', () => {
  it('leaves scheduled mail alone, unless its time is said to have come', async () => {
    const { fake, mail } = await start();
    const later = (delay: '1h' | '3h') =>
      mail.send({ lane: 'bulk', to: `in-${delay}@a.test`, subject: 'x', text: 'x', delay });
    await later('3h');
    await later('1h');
    expect(fake.queued().map(({ state }) => state)).toEqual(['scheduled', 'scheduled']);
    expect(await fake.deliverQueued()).toMatchObject({ sent: 0, queued: 2 });
    expect(await fake.deliverQueued({ until: '90m' })).toMatchObject({ sent: 1, queued: 1 });
    fake.assertSent({ to: 'in-1h@a.test' });
    expect(await fake.deliverQueued({ delayed: true })).toMatchObject({ sent: 1, failed: 0, queued: 0 });
    fake.assertSent({ to: 'in-3h@a.test' });
  });

  it('lets mail expire in the time that it passes over', async () => {
    const { fake, mail } = await start();
    const expiresAt = new Date(Date.now() + 60_000);
    const { id } = await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'x', text: 'x', expiresAt });
    fake.failNext({ replyCode: 451, reply: '4.7.1 Greylisting in action' });
    expect(await fake.deliverQueued()).toMatchObject({ deferred: 1 });
    expect(await fake.deliverQueued({ until: '10m' })).toEqual({ sent: 0, failed: 0, deferred: 0, queued: 0 });
    expect(await mail.status(id)).toMatchObject({ state: 'expired' });
  });

  it('knows what is paused and cancelled', async () => {
    const { fake, mail } = await start();
    const { id } = await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'x', text: 'x' });
    await mail.sendBulk({ id: 'c', subject: 'x', text: 'x', recipients: [{ to: 'bob@b.test' }] });
    await mail.pause('c');
    await mail.cancel(id);
    fake.assertNothingOutgoing({ to: 'ann@a.test' });
    expect(await fake.deliverQueued()).toMatchObject({ sent: 0, queued: 1 });
    await mail.resume('c');
    expect(await fake.deliverQueued()).toMatchObject({ sent: 1, queued: 0 });
  });

  it('delivers nothing while the whole lane is paused', async () => {
    const { fake, mail } = await start();
    await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'x', text: 'x' });
    await mail.send({ lane: 'bulk', to: 'bob@b.test', subject: 'x', text: 'x', delay: '1h' });
    await mail.pause();
    expect(await fake.deliverQueued({ delayed: true })).toEqual({ sent: 0, failed: 0, deferred: 0, queued: 2 });
    await mail.resume();
    expect(await fake.deliverQueued({ delayed: true })).toMatchObject({ sent: 2, queued: 0 });
  });

  it('has told of the campaigns that it completes', async () => {
    const completed: string[] = [];
    @Injectable()
    class Ends {
      @OnMail('campaign-completed')
      ended({ campaignId, sent }: { campaignId: string; sent: number }): void {
        completed.push(`${campaignId}: ${sent}`);
      }
    }
    const { fake, mail } = await start({}, undefined, [Ends]);
    const campaign = { subject: 'x', text: 'x', recipients: [{ to: 'ann@a.test' }, { to: 'bob@b.test' }] };
    for (const id of ['one', 'two']) {
      await mail.sendBulk({ ...campaign, id });
      await fake.deliverQueued();
    }
    expect(completed).toEqual(['one: 2', 'two: 2']);
  });

  it('may be left to the application’s own runUntil()', async () => {
    const { fake, app, mail } = await start({ queue: { worker: false } });
    await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'x', text: 'x' });
    expect(await app.get(MailWorker).runUntil({ deadline: '5s' })).toMatchObject({ reason: 'empty', sent: 1 });
    fake.assertSent({ to: 'ann@a.test' });
  });

  it('says what is missing where there is no bulk lane', async () => {
    await expect(new MailFake().deliverQueued()).rejects.toThrow('Install it before compile()');
    const { fake, mail } = await start({ queue: false });
    await mail.send({ to: 'ann@a.test', subject: 'x', text: 'x' });
    fake.assertSent({ to: 'ann@a.test' });
    await expect(fake.deliverQueued()).rejects.toThrow('do without queue: false');
  });
});

describe('what MailFake finds', () => {
  it('tells in one line each what there is instead', async () => {
    const { fake, mail } = await start();
    await mail.send({ to: 'ann@a.test', subject: 'Your code', text: '1' });
    await mail.send({
      lane: 'bulk',
      to: ['bob@b.test', 'cid@c.test'],
      subject: 'News',
      text: '1',
      delay: '1h',
      attachments: [{ filename: 'a.pdf', content: 'x' }],
    });
    expect(failure(() => fake.assertSent({ to: 'bob@b.test', subject: /^Your/ })).message).toBe(
      [
        'Expected a message with to "bob@b.test", subject /^Your/ to be sent, and there is none.',
        '  Sent: 1',
        '    priority by seoul to ann@a.test "Your code"',
        '  Queued: 1',
        '    bulk (scheduled) to bob@b.test, cid@c.test "News" with a.pdf',
      ].join('\n'),
    );
    expect(failure(() => fake.assertNothingOutgoing({ lane: 'bulk' })).message).toMatch(
      /^Expected no message with lane "bulk" to be sent or queued, and there is one\.\n/,
    );
    expect(failure(() => fake.assertOutgoingCount(1)).message).toMatch(
      /^Expected 1 message to be sent or queued, and there are 2\.\n/,
    );
    expect(failure(() => fake.assertQueued(({ to }) => to.length === 3)).message).toMatch(
      /^Expected a message that the predicate takes to be queued, and there is none\.\n/,
    );
    expect(fake.assertOutgoing(({ to }) => to.length === 2)).toMatchObject({ status: 'queued', subject: 'News' });
  });

  it('refuses a matcher that it does not know', async () => {
    const { fake, mail } = await start();
    await mail.send({ to: 'ann@a.test', subject: 'x', text: '1' });
    expect(() => fake.assertNothingOutgoing({ too: 'ann@a.test' } as object)).toThrow('knows no matcher too');
  });

  it('has a sender with a name or without', async () => {
    const { fake, mail } = await start();
    await mail.send({ to: 'ann@a.test', subject: 'x', text: '1' });
    const { from } = fake.assertSent();
    expect(from).toBe('Shop <no-reply@shop.test>');
    for (const known of [from, 'no-reply@SHOP.test', /^Shop </, /^no-reply@/]) fake.assertSent({ from: known });
    expect(fake.sent({ from: 'Shop' })).toEqual([]);
  });

  it('is forgotten by clear(), but not what is queued', async () => {
    const { fake, mail } = await start();
    await mail.send({ to: 'ann@a.test', subject: 'x', text: '1' });
    await mail.send({ lane: 'bulk', to: 'bob@b.test', subject: 'x', text: '1' });
    fake.failNext(new Error('never'));
    fake.clear();
    expect(fake.outgoing().map(({ to }) => to)).toEqual([['bob@b.test']]);
    expect(await fake.deliverQueued()).toMatchObject({ sent: 1 });
  });
});

describe('an application on a MailFake', () => {
  it('does not see the mail of another one, and shares its fake with none', async () => {
    const [one, two] = await Promise.all([start(), start()]);
    const letter = { lane: 'bulk', subject: 'x', text: '1' } as const;
    await Promise.all([one.mail.send({ ...letter, to: 'a@a.test' }), two.mail.send({ ...letter, to: 'b@b.test' })]);
    await Promise.all([one.fake.deliverQueued(), two.fake.deliverQueued()]);
    expect(one.fake.outgoing().map(({ to }) => to)).toEqual([['a@a.test']]);
    expect(two.fake.outgoing().map(({ to }) => to)).toEqual([['b@b.test']]);
    await expect(start({}, one.fake)).rejects.toThrow('Make a new one for each test application');
  });

  it('without a bulk lane shares its fake with none until it is closed', async () => {
    const { fake, app } = await start({ queue: false });
    for (const options of [{}, { queue: false } as const]) {
      await expect(start(options, fake)).rejects.toThrow('Make a new one for each test application');
    }
    await app.close();
    const { mail } = await start({ queue: false }, fake);
    await mail.send({ to: 'ann@a.test', subject: 'x', text: '1' });
    fake.assertSent();
  });

  it('injects a queue that looks like BullMQ’s, and says so where it is not', async () => {
    const { app, mail } = await start();
    await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'x', text: 'x' });
    const queue = app.get<Queue>(getQueueToken('mail'));
    expect(await queue.getJobCounts('prioritized', 'completed')).toEqual({ prioritized: 1, completed: 0 });
    expect(new BullMQAdapter(queue).getName()).toBe('mail');
    expect(() => queue.add('x', {})).toThrow('The queue mail is in memory');
  });

  it('stands in for one of several mailers', async () => {
    @Module({
      imports: [
        MailModule.forRoot({ from: 'a@shop.test', transports: TRANSPORTS, queue: false }),
        MailModule.forRoot({ name: 'news', from: 'news@shop.test', transports: TRANSPORTS }),
      ],
    })
    class AppModule {}
    const [fake, news] = [new MailFake(), new MailFake('news')];
    const app = await news.install(fake.install(Test.createTestingModule({ imports: [AppModule] }))).compile();
    onTestFinished(() => app.close());
    await app.get<MailService>(getMailToken('news')).send({ to: 'ann@a.test', subject: 'x', text: 'x' });
    expect(news.assertSent().from).toBe('news@shop.test');
    fake.assertNothingOutgoing();
  });
});

@Mail({ name: 'welcome' })
class WelcomeMail implements Mailable<{ name: string }> {
  render({ name }: { name: string }) {
    return { subject: `Welcome, ${name}`, html: `<p>Hello ${name}</p>` };
  }
}

describe('mail classes and templates', () => {
  const engine: TemplateEngine = {
    render: (name, context) => ({ subject: `${name} for ${(context as { who: string }).who}`, html: '<p>x</p>' }),
  };

  it('are what a message can be looked for by, in both lanes', async () => {
    const { fake, mail } = await start({ templates: { engine } }, new MailFake(), [WelcomeMail]);
    await mail.send(WelcomeMail, { to: 'ann@a.test', data: { name: 'Ann' } });
    expect(fake.assertSent(WelcomeMail, { to: 'ann@a.test' }).subject).toBe('Welcome, Ann');
    await mail.send(WelcomeMail, { lane: 'bulk', to: 'bob@b.test', data: { name: 'Bob' } });
    await mail.sendBulk(WelcomeMail, { recipients: [{ to: 'cid@c.test', data: { name: 'Cid' } }] });
    await mail.send({ lane: 'bulk', to: 'dan@d.test', template: 'auth/reset', context: { who: 'Dan' } });
    fake.assertQueued(WelcomeMail, { to: 'bob@b.test' });
    fake.assertQueued(WelcomeMail, ({ to }) => to.includes('cid@c.test'));
    fake.assertQueued({ template: 'auth/reset' });
    fake.assertOutgoingCount(3, WelcomeMail);
    expect(failure(() => fake.assertSent({ template: 'auth/reset' })).message).toContain(
      '    priority by seoul to ann@a.test "Welcome, Ann" [mail welcome]\n  Queued: 3\n    bulk to bob@b.test [mail welcome]\n',
    );
    expect(await fake.deliverQueued()).toMatchObject({ sent: 3, queued: 0 });
    expect(fake.sent(WelcomeMail).map(({ subject }) => subject)).toEqual([
      'Welcome, Ann',
      'Welcome, Bob',
      'Welcome, Cid',
    ]);
    expect(fake.assertSent({ template: 'auth/reset' })).toMatchObject({ subject: 'auth/reset for Dan', text: 'x' });
  });

  it('must be one', async () => {
    class Stray {
      render(): void {}
    }
    const { fake, mail } = await start();
    await mail.send({ to: 'ann@a.test', subject: 'x', text: 'x' });
    expect(() => fake.assertSent(Stray)).toThrow('Stray is no mail class');
  });
});
