import { Injectable, Module, Scope, type Provider } from '@nestjs/common';
import { html, type Mailable as NestMailable, type MailRenderContext as NestContext } from '@nestjs/mail';
import { LazyModuleLoader } from '@nestjs/core';
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { Preparation } from '../../src/delivery/preparation.js';
import { MailConfigError, MailError, MailValidationError } from '../../src/errors.js';
import { Mail, type Mailable, type MailClassOptions, type MailRenderContext } from '../../src/nest/mail-class.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { TemplateEngine } from '../../src/templates/engine.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { rules } from '../message/rules.js';
import { plainMessage } from '../support/message.js';
import { parse, type ParsedMessage } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { everythingIn } from '../support/stored.js';
import { boot, into } from './boot.js';

interface Order {
  id: number;
  at?: unknown;
}

@Injectable()
class Prices {
  readonly currency = 'EUR';
}

@Mail({ name: 'receipt' })
class ReceiptMail implements Mailable<Order> {
  constructor(private readonly prices: Prices) {}

  async render({ id }: Order, { locale = 'en' }: MailRenderContext) {
    await Promise.resolve();
    if (id < 0) throw new RangeError('no such order');
    return { subject: `Receipt ${id} in ${this.prices.currency} (${locale})`, html: '<p>Thank you</p>' };
  }
}

@Mail({ name: 'ping' })
class PingMail implements Mailable {
  render() {
    return { subject: 'Ping', text: 'Are you there?' };
  }
}

/** As it stands in an application that uses the official module. */
@Mail({ name: 'official' })
class OfficialMail implements NestMailable<{ name: string }> {
  render({ name }: { name: string }, { locale, to }: NestContext) {
    const subject = `${locale} ${to[0]!.name ?? 'nameless'}`;
    return name === 'template'
      ? { subject, template: 'hello', context: { name } }
      : { subject, html: html`<p>Hello ${name}</p>`, headers: { 'X-A': 'a' }, attachments: [] };
  }
}

@Mail({ name: 'odd' })
class OddMail implements Mailable<{ said: unknown }> {
  render({ said }: { said: unknown }): object {
    return said as object;
  }
}

type Either = { kind: 'a'; x: number } | { kind: 'b'; y: number };

@Mail({ name: 'either' })
class EitherMail implements Mailable<Either> {
  render({ kind }: Either) {
    return { text: kind };
  }
}

class NoMail implements Mailable {
  render() {
    return { subject: 'x', text: 'x' };
  }
}

const engine: TemplateEngine = {
  has: (name) => name === 'hello',
  render: (name, { name: who }) => ({ subject: 'of the template', html: `<i>${name} ${String(who)}</i>` }),
};

async function start(
  options: object = {},
  providers: Provider[] = [Prices, ReceiptMail, PingMail, OfficialMail, OddMail],
) {
  const mailbox = new Mailbox();
  const app = await boot({ imports: [MailModule.forRoot({ ...into(mailbox), ...options })], providers });
  const last = (): Promise<ParsedMessage> => parse(mailbox.received.at(-1)!.raw);
  return { app, mail: app.get(MailService), mailbox, last };
}

const refusalOf = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.unreachable(),
    (error: unknown) => error as Error,
  );

describe('send() of a mail class on the priority lane', () => {
  it('renders it with what the class injects, and what is given beside the data goes first', async () => {
    const { mail, last } = await start();
    const receipt = await mail.send(ReceiptMail, { to: 'ann@mail.test', data: { id: 7 }, locale: 'ko' });
    expect(receipt).toMatchObject({ status: 'sent', accepted: ['ann@mail.test'] });
    expect(await last()).toMatchObject({ subject: 'Receipt 7 in EUR (ko)', messageId: receipt.messageId });
    expect((await last()).text?.trim()).toBe('Thank you');
    await mail.send(ReceiptMail, { to: 'ann@mail.test', data: { id: 7 }, subject: 'Mine', text: 'Mine' });
    expect(await last()).toMatchObject({ subject: 'Mine', html: expect.stringContaining('Thank you') as string });
    expect((await last()).text?.trim()).toBe('Mine');
    await mail.send(PingMail, { to: 'ann@mail.test' });
    expect(await last()).toMatchObject({ subject: 'Ping', html: undefined });
  });

  it('takes a class that was written for @nestjs/mail', async () => {
    const { mail, last } = await start({ templates: { engine } });
    await mail.send(OfficialMail, { to: 'Ann <ann@mail.test>', data: { name: '<Ann>' } });
    expect(await last()).toMatchObject({ subject: 'undefined Ann', headers: { 'x-a': 'a' } });
    expect((await last()).html).toContain('<p>Hello &lt;Ann&gt;</p>');
    await mail.send(OfficialMail, { to: 'ann@mail.test', data: { name: 'template' }, locale: 'ko' });
    expect(await last()).toMatchObject({ subject: 'ko nameless' });
    expect((await last()).html).toContain('<i>hello template</i>');
  });

  it('fails with what render() throws as the cause', async () => {
    const { mail, mailbox } = await start();
    const error = await refusalOf(mail.send(ReceiptMail, { to: 'ann@mail.test', data: { id: -1 } }));
    expect(error).toBeInstanceOf(MailError);
    expect(error).toMatchObject({
      message: 'The mail class receipt could not be rendered: no such order',
      code: 'RENDER',
      permanent: true,
      outcome: 'not-sent',
      cause: expect.any(RangeError) as Error,
    });
    expect(mailbox.received).toHaveLength(0);
  });

  it.each([
    [undefined, 'returned undefined; return { subject, html }'],
    [{ subject: 'a\nb', text: 'x' }, 'subject: must not contain CR, LF or NUL'],
    [{ subject: 'x', html: ['x'] }, 'html: must be a string'],
    [{ subject: 'x', html: { no: 'text' } }, 'html: must be a string'],
    [{ subject: 'x', text: 'x', cc: 'bob@mail.test' }, 'cc: is not a field of what can be rendered'],
    [{ subject: 'x', text: 'x', headers: { Bcc: 'bob@mail.test' } }, 'headers.Bcc: is written from the message'],
    [{ subject: 'x', text: 'x', from: 'nobody' }, 'from: '],
    [{ subject: 'x', template: 'hello' }, 'the mail option templates is not set'],
    [{ subject: 'x', template: '../hello' }, 'must be a template'],
  ])('refuses a render() that returns %j', async (said, problem) => {
    const { mail, mailbox } = await start();
    const error = await refusalOf(mail.send(OddMail, { to: 'ann@mail.test', data: { said: said ?? null } }));
    expect(error).toMatchObject({ code: 'RENDER', permanent: true, id: expect.any(String) as string });
    expect(error.message).toContain(problem.replace('undefined', 'null'));
    expect(mailbox.received).toHaveLength(0);
  });

  it('gives up a render() that takes longer than the mail may', async () => {
    const { mail } = await start({ priority: { timeout: '50ms' } }, [
      { provide: PingMail, useValue: { render: () => new Promise(() => undefined) } },
    ]);
    const error = await refusalOf(mail.send(PingMail, { to: 'ann@mail.test' }));
    expect(error).toMatchObject({ code: 'RENDER', permanent: false });
    expect(error.message).toContain('priority.timeout');
  });
});

describe('a render() that does not answer', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('fails its mail for this time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const renderer = { missing: () => undefined, render: () => new Promise(() => undefined) };
    const rendering = { source: { kind: 'mail', name: 'slow' } } as const;
    const message = { ...plainMessage({}), rendering };
    const preparing = new Preparation(renderer, rules()).prepare({ id: 'a', messageId: '<a>', lane: 'bulk', message });
    const refusal = refusalOf(preparing);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await refusal).toMatchObject({
      message: 'The mail class slow could not be rendered: it has not answered within 30000 ms',
      code: 'RENDER',
      permanent: false,
    });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('data', () => {
  const cycle: Record<string, unknown> = { name: 'x' };
  cycle['list'] = [cycle];

  it.each<[at: unknown, fault: string]>([
    [{ when: [new Date()] }, 'data.at.when[0]: is a Date; give a string'],
    [new Map(), 'data.at: is a Map; give an object or a list'],
    [{ 'a b': new Set() }, 'data.at["a b"]: is a Set; give a list'],
    [[1, undefined], 'data.at[1]: is undefined; give null'],
    // eslint-disable-next-line no-sparse-arrays
    [[1, , 2], 'data.at[1]: is undefined; give null'],
    [10n, 'data.at: is a BigInt; give a string'],
    [() => 1, 'data.at: is a function; give what it stands for'],
    [Symbol('x'), 'data.at: is a symbol; give what it stands for'],
    [NaN, 'data.at: is NaN; give a number or null'],
    [new Prices(), 'data.at: is an instance of Prices; give a plain object'],
    [Buffer.from('x'), 'data.at: is an instance of Buffer; give a plain object'],
    [cycle, 'data.at.list[0]: contains itself; leave the reference out'],
    ['a\0b', 'data.at: contains a NUL character'],
  ])('that JSON would change is refused in both lanes: %o', async (at, fault) => {
    // It is found before anybody asks whether there is a bulk lane.
    const { mail } = await start();
    const message = { to: 'ann@mail.test', data: { id: 1, at } };
    for (const lane of ['priority', 'bulk'] as const) {
      const error = await refusalOf(mail.send(ReceiptMail, { ...message, lane }));
      expect(error).toBeInstanceOf(MailValidationError);
      expect(error.message).toContain(fault);
    }
  });

  it('is given to the class as it is sent, without fields that are undefined', async () => {
    const seen: unknown[] = [];
    const stub = { provide: OddMail, useValue: { render: (data: unknown) => (seen.push(data), { text: 'x' }) } };
    const { mail } = await start({}, [stub]);
    const said = { none: undefined, zero: 0, list: [null, { a: '' }], shared: [cycle['name'], cycle['name']] };
    await mail.send(OddMail, { to: 'ann@mail.test', data: { said } });
    expect(seen).toStrictEqual([{ said: { zero: 0, list: [null, { a: '' }], shared: ['x', 'x'] } }]);
    expect(JSON.stringify(seen[0])).toBe(JSON.stringify({ said }));
  });

  it('cannot be changed by who renders, in no depth', async () => {
    const stub = { render: (data: { said: object; own?: number }) => (change(data), { text: 'x' }) };
    let change: (data: { said: object; own?: number }) => void;
    const { mail } = await start({}, [{ provide: OddMail, useValue: stub }]);
    const send = () => mail.send(OddMail, { to: 'ann@mail.test', data: { said: { list: [] } } });
    change = (data) => (data.own = 1);
    await expect(send()).rejects.toThrow('object is not extensible');
    change = ({ said }) => (said as { list: unknown[] }).list.push(1);
    await expect(send()).rejects.toThrow('object is not extensible');
  });

  it('of a template can be changed no deeper than its own fields', async () => {
    const change = vi.fn((values: Record<string, unknown>) => {
      values['of the engine'] = 1;
      (values['list'] as unknown[]).push(1);
    });
    const { mail } = await start({
      templates: {
        engine: { ...engine, render: (_: string, values: Record<string, unknown>) => (change(values), { html: '' }) },
      },
    });
    const sending = mail.send({ to: 'ann@mail.test', template: 'hello', context: { list: [] } });
    await expect(sending).rejects.toThrow('object is not extensible');
    expect(change.mock.calls[0]![0]).toEqual({ list: [], 'of the engine': 1 });
  });

  it('of more than limits.contextBytes is refused, and what belongs to a template', async () => {
    const { mail } = await start({ limits: { contextBytes: 20 } });
    const wrong = { to: 'ann@mail.test', data: { id: 1, at: 'x'.repeat(20) }, context: {}, template: 'a' };
    const error = await refusalOf(mail.send(ReceiptMail, wrong));
    expect((error as MailValidationError).errors.map(({ path }) => path).sort()).toEqual([
      'context',
      'data',
      'template',
    ]);
  });
});

describe('the registry', () => {
  it('tells two classes of one name at boot', async () => {
    @Mail({ name: 'receipt' })
    class OtherMail extends NoMail {}
    const booting = start({}, [Prices, ReceiptMail, OtherMail]);
    const message = /Two mail classes are named "receipt": ReceiptMail and OtherMail/;
    await expect(booting).rejects.toThrow(message);
    await expect(
      start({}, [ReceiptMail, Prices, { provide: 'alias', useExisting: ReceiptMail }]),
    ).resolves.toBeDefined();
  });

  it.each([Scope.REQUEST, Scope.TRANSIENT])('refuses a class of scope %s at boot', async (scope) => {
    @Injectable({ scope })
    @Mail({ name: 'scoped' })
    class ScopedMail extends NoMail {}
    await expect(start({}, [ScopedMail])).rejects.toThrow(/ScopedMail is request-scoped or transient.*default scope/);
  });

  it('refuses a class that depends on the request', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Session {}
    @Mail({ name: 'dependent' })
    class DependentMail extends NoMail {
      constructor(readonly session: Session) {
        super();
      }
    }
    await expect(start({}, [Session, DependentMail])).rejects.toThrow(/DependentMail is request-scoped/);
  });

  it('has no class before it is made, and the whole of it afterwards', async () => {
    let early: unknown;
    const slow: Provider = {
      provide: Prices,
      inject: [MailService],
      useFactory: async (mail: MailService) => {
        early = await refusalOf(mail.send(ReceiptMail, { to: 'ann@mail.test', data: { id: 1 } }));
        return new Prices();
      },
    };
    const { mail, last } = await start({}, [slow, ReceiptMail]);
    expect(early).toEqual(
      new MailConfigError(
        'The mail class ReceiptMail is not made yet: the application is still starting. Inject it where it is sent, or send from onModuleInit() on.',
      ),
    );
    await mail.send(ReceiptMail, { to: 'ann@mail.test', data: { id: 2 } });
    expect(await last()).toMatchObject({ subject: 'Receipt 2 in EUR (en)' });
  });

  it('has those of modules that are loaded later', async () => {
    const { app, mail, last } = await start({}, []);
    @Module({ providers: [Prices, ReceiptMail] })
    class LaterModule {}
    await app.get(LazyModuleLoader).load(() => LaterModule);
    await mail.send(ReceiptMail, { to: 'ann@mail.test', data: { id: 3 }, locale: 'ko_KR' });
    expect(await last()).toMatchObject({ subject: 'Receipt 3 in EUR (ko-KR)' });
  });

  it('tells what to do with a class that nobody provides, and with one that is none', async () => {
    const { mail } = await start({}, [NoMail]);
    const to = 'ann@mail.test';
    await expect(mail.send(PingMail, { to })).rejects.toThrow(
      new MailConfigError('The mail class PingMail is not provided in any module. Add it to the providers of one.'),
    );
    await expect(mail.send(NoMail, { to })).rejects.toThrow(/^NoMail is no mail class. Decorate it with @Mail/);
    await expect(mail.sendBulk(NoMail, { recipients: [] })).rejects.toThrow(/^NoMail is no mail class/);
  });

  it.each<[options: object, told: string]>([
    [{ name: 'a b' }, 'name must be'],
    [{}, 'name must be'],
    [{ name: 'a', lane: 'fast' }, 'lane must be one of priority, bulk'],
    [{ name: 'a', urgency: 'now' }, 'urgency must be one of'],
    [{ name: 'a', transport: '' }, 'transport must be'],
    [{ name: 'a', from: 'nobody' }, 'from '],
    [{ name: 'a', headers: { To: 'x' } }, 'headers.To is written'],
    [{ name: 'a', subject: 'x' }, 'subject is not a known option'],
  ])('refuses @Mail(%j) where the class is declared', (options, told) => {
    const decorate = (): void => Mail(options as MailClassOptions)(class WrongMail extends NoMail {});
    expect(decorate).toThrow(MailConfigError);
    expect(decorate).toThrow(`@Mail of WrongMail is wrong: ${told}`);
  });

  it('refuses @Mail on a class without render()', () => {
    class Empty {}
    expect(() => Mail({ name: 'empty' })(Empty as typeof NoMail)).toThrow('render() is missing');
  });
});

describe('templates', () => {
  it('are refused at send() without the option, or where there is none of that name', async () => {
    const message = { to: 'ann@mail.test', template: 'nope' };
    await expect((await start()).mail.send(message)).rejects.toThrow(/template nope.*option templates is not set/);
    const { mail, last } = await start({ templates: { engine } });
    await expect(mail.send(message)).rejects.toThrow('template: there is no template nope');
    await mail.send({ ...message, template: 'hello', context: { name: 'Ann' } });
    expect(await last()).toMatchObject({ subject: 'of the template' });
    expect((await last()).text?.trim()).toBe('hello Ann');
  });
});

describe('@Mail', () => {
  @Mail({ name: 'letter', lane: 'bulk', urgency: 'low', transport: 'main' })
  class LetterMail extends NoMail {}

  it('says how its mails go, where a message does not say it itself', async () => {
    const queue = { connection: (await startRedis()).url, worker: false };
    const { mail } = await start({ transports: [new Mailbox('main')], queue }, [LetterMail]);
    expect(await mail.send(LetterMail, { to: 'ann@mail.test' })).toMatchObject({ status: 'queued' });
    expect(await mail.send(LetterMail, { to: 'ann@mail.test', lane: 'priority' })).toMatchObject({
      status: 'sent',
      transport: 'main',
    });
    await expect(mail.send(LetterMail, { to: 'ann@mail.test', transport: 'other' })).rejects.toThrow(/other/);
  });

  it('in a campaign, a recipient whose data is wrong is rejected alone', async () => {
    const queue = { connection: (await startRedis()).url, worker: false };
    const { mail } = await start({ queue }, [ReceiptMail, Prices]);
    const receipt = await mail.sendBulk(ReceiptMail, {
      id: 'march',
      recipients: [
        { to: 'a@mail.test', data: { id: 1 } },
        { to: 'b@mail.test', data: { id: 1, at: new Date() } },
      ],
    });
    expect(receipt).toMatchObject({ queued: 1, rejected: 1 });
    expect(receipt.rejections).toEqual([
      { index: 1, errors: [{ path: 'recipients[1].data.at', message: 'is a Date; give a string' }] },
    ]);
    // Another class, or other data for all, is another campaign.
    const again = mail.sendBulk(ReceiptMail, { id: 'march', data: { at: 1 }, recipients: [] });
    await expect(again).rejects.toThrow('belongs to a campaign with another message');
  });
});

it('goes over to the queue as data when no transport takes it', async () => {
  const { url: connection } = await startRedis();
  const { mail } = await start({
    transports: [{ name: 'main', url: 'smtp://127.0.0.1:1' }],
    queue: { connection, worker: false },
    priority: { overflow: 'queue' },
  });
  const data = { id: 7, at: 'noon' };
  expect(await mail.send(ReceiptMail, { to: 'ann@mail.test', data })).toMatchObject({ status: 'queued' });
  const stored = await everythingIn(connection);
  expect(stored).toContain('noon');
  expect(stored).not.toContain('Thank you');
});

it('the types take the data of the class, all of it, and nothing else', () => {
  const to = 'ann@mail.test';
  const typed = (mail: MailService): void => {
    void mail.send(ReceiptMail, { to, data: { id: 1 } });
    void mail.send(PingMail, { to });
    void mail.send(OfficialMail, { to, data: { name: 'x' }, locale: 'ko' });
    // @ts-expect-error data is missing
    void mail.send(ReceiptMail, { to });
    // @ts-expect-error a field of the data is missing
    void mail.send(ReceiptMail, { to, data: {} });
    // @ts-expect-error another type
    void mail.send(ReceiptMail, { to, data: { id: '1' } });
    // @ts-expect-error no such field
    void mail.send(ReceiptMail, { to, data: { id: 1, extra: 1 } });
    // @ts-expect-error a mail class renders itself
    void mail.send(PingMail, { to, template: 'x' });
    // @ts-expect-error no mail class
    void mail.send(Prices, { to });
    void mail.sendBulk(ReceiptMail, { recipients: [{ to, data: { id: 1 } }] });
    void mail.sendBulk(PingMail, { recipients: [{ to }] });
    void mail.sendBulk(ReceiptMail, { data: { at: 1 }, recipients: [{ to, data: { id: 1 } }] });
    void mail.sendBulk(EitherMail, { data: { kind: 'b' as const }, recipients: [{ to, data: { y: 1 } }] });
    const context: Order = { id: 1 };
    void mail.send({ to, template: 'x', context });
    void mail.sendBulk({ template: 'x', context, groups: { g: context }, recipients: [{ to, context }] });
    // @ts-expect-error data is missing
    void mail.sendBulk(ReceiptMail, { recipients: [{ to }] });
    // @ts-expect-error the campaign has something else
    void mail.sendBulk(ReceiptMail, { data: { at: 1 }, recipients: [{ to, data: {} }] });
    // @ts-expect-error another type
    void mail.sendBulk(ReceiptMail, { data: { id: 'x' }, recipients: [{ to, data: { id: 1 } }] });
  };
  expectTypeOf(typed).toBeFunction();
});
