import 'reflect-metadata';
import {
  ForbiddenException,
  Injectable,
  ValidationPipe,
  VersioningType,
  type CanActivate,
  type CallHandler,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { map, type Observable } from 'rxjs';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Feedback } from '../../src/feedback/feedback.js';
import { RecordedSuppressions } from '../../src/feedback/recorded-suppressions.js';
import { UnsubscribeTokens } from '../../src/feedback/unsubscribe-token.js';
import { MailService } from '../../src/nest/mail.service.js';
import { parseOptions } from '../../src/nest/options/parse.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { MailUnsubscribeModule } from '../../src/nest/unsubscribe/mail-unsubscribe.module.js';
import { MailUnsubscriptions } from '../../src/nest/unsubscribe/mail-unsubscriptions.js';
import type { Resubscription, Unsubscription } from '../../src/nest/unsubscribe/unsubscription.js';
import { UNSEALED } from '../../src/store/sealing.js';
import { Memory } from '../../src/testing/memory-store.js';
import { atEnd } from '../support/cleanup.js';
import { moduleOf } from './boot.js';

const tokens = new UnsubscribeTokens(['a secret of the test, of 32 bytes at least']);
const NEWS = { address: 'o\'neil&"<b>"@mail.test', id: 'c_abcdefghijklmnopqrst-0.7', list: 'news' };
const later = (): number => Date.now() + 60_000;
const token = (claims: object = {}): string => tokens.sign({ ...NEWS, expiresAt: later(), ...claims });
const ONE_CLICK = 'List-Unsubscribe=One-Click';
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

let suppressed: RecordedSuppressions;
let isAway: boolean;
let reports: Feedback[];
let heard: Unsubscription[];
let returned: Resubscription[];
let refuse: boolean;

beforeEach(() => {
  suppressed = new RecordedSuppressions(new Memory().records, UNSEALED);
  isAway = false;
  reports = [];
  heard = [];
  returned = [];
  refuse = false;
});
afterEach(() => vi.restoreAllMocks());

const unsubscriptions = new MailUnsubscriptions({
  tokens,
  suppressions: {
    get: (address) => (isAway ? Promise.reject(new Error('the store is away')) : suppressed.get(address)),
    add: (all) => suppressed.add(all),
    remove: (address, which) => suppressed.remove(address, which),
  },
  report: (feedback) => Promise.resolve(reports.push(feedback)),
  onUnsubscribe: (unsubscription) => {
    if (refuse) throw new Error('the application is away');
    heard.push(unsubscription);
  },
  onResubscribe: (resubscription) => void returned.push(resubscription),
});

@Injectable()
class Closed implements CanActivate {
  canActivate(): boolean {
    throw new ForbiddenException();
  }
}

@Injectable()
class Wrapped implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

/** With all that applications put before their controllers. */
async function serve(app: INestApplication): Promise<string> {
  app.setGlobalPrefix('api');
  app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
  app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true }));
  await app.listen(0, '127.0.0.1');
  atEnd(() => app.close());
  return `${(await app.getUrl()).replace('[::1]', '127.0.0.1')}/api/mail/unsubscribe`;
}

const root = () =>
  moduleOf({
    imports: [
      moduleOf({
        providers: [{ provide: MailService, useValue: { unsubscriptions } }],
        exports: [MailService],
      }),
      MailUnsubscribeModule.forRootAsync({
        useFactory: () => ({
          path: 'mail/unsubscribe',
          lists: { news: 'News & offers' },
          texts: (languages) => {
            if (languages === 'none') throw new Error('no such language');
            if (languages === 'half') return { title: 'Half', listDone: undefined };
            return languages?.startsWith('de') ? { lang: 'de', title: 'Abmelden <hier>' } : {};
          },
        }),
      }),
    ],
    providers: [
      { provide: APP_GUARD, useClass: Closed },
      { provide: APP_INTERCEPTOR, useClass: Wrapped },
    ],
  });

const PLATFORMS = {
  express: () => NestFactory.create(root(), { logger: false }),
  'express without parsers': () => NestFactory.create(root(), { logger: false, bodyParser: false }),
  fastify: () => NestFactory.create(root(), new FastifyAdapter(), { logger: false }),
  'fastify without parsers': () =>
    NestFactory.create(root(), new FastifyAdapter(), { logger: false, bodyParser: false }),
};

describe.each(Object.entries(PLATFORMS))('the page on %s', (_, create) => {
  let page: string;
  beforeAll(async () => {
    page = await serve(await create());
  });

  const url = (one = token()): string => `${page}?token=${one}`;
  const post = (
    body: string | FormData | URLSearchParams,
    headers: Record<string, string> = FORM,
    one = token(),
  ): Promise<Response> => fetch(url(one), { method: 'POST', body, headers, redirect: 'error' });

  it('takes the POST of a mail program, however often', async () => {
    const one = token();
    for (const status of [200, 200]) {
      const answer = await post(ONE_CLICK, FORM, one);
      expect(answer.status).toBe(status);
      expect(answer.headers.has('set-cookie')).toBe(false);
    }
    expect(await suppressed.get(NEWS.address)).toEqual([
      {
        address: NEWS.address,
        scope: 'list:news',
        reason: 'unsubscribed',
        since: expect.any(Date) as Date,
        note: `By one-click, from message ${NEWS.id}`,
      },
    ]);
    expect(reports).toEqual([
      {
        key: expect.stringMatching(/^[\w-]{43}$/) as string,
        type: 'unsubscribed',
        source: 'unsubscribe',
        address: NEWS.address,
        reply: `By one-click, from message ${NEWS.id}`,
        list: 'news',
        at: expect.any(Date) as Date,
        match: { id: NEWS.id },
      },
    ]);
    const about = { address: NEWS.address, list: 'news', scope: 'list:news', id: NEWS.id, via: 'one-click' };
    expect(heard).toEqual([
      { ...about, repeated: false },
      { ...about, repeated: true },
    ]);
  });

  it('takes it as multipart/form-data', async () => {
    const form = new FormData();
    form.set('List-Unsubscribe', 'One-Click');
    expect((await post(form, {})).status).toBe(200);
    expect(await suppressed.get(NEWS.address)).toHaveLength(1);
  });

  it('asks before, and changes nothing when it is looked at', async () => {
    for (const method of ['GET', 'HEAD']) {
      const answer = await fetch(url(), { method });
      expect(answer.status).toBe(200);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
        'x-robots-tag': 'noindex, nofollow',
        'content-security-policy': expect.stringContaining("default-src 'none'") as string,
      });
    }
    const html = await (await fetch(url())).text();
    expect(html).toContain('o&#39;neil&amp;&quot;&lt;b&gt;&quot;@mail.test');
    expect(html).toContain('“News &amp; offers”');
    expect(html).not.toMatch(/<script|src=|https?:/);
    expect(await suppressed.get(NEWS.address)).toEqual([]);
  });

  it('has a button that unsubscribes, and one that takes it back', async () => {
    const pressed = async (html: string): Promise<string> => {
      const fields = [...html.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]+)">/g)];
      const answer = await post(
        new URLSearchParams(fields.map(([, name, value]): [string, string] => [name!, value!])),
        {},
        one,
      );
      expect(answer.status).toBe(200);
      return answer.text();
    };
    const one = token();
    const done = await pressed(await (await fetch(url(one))).text());
    expect(done).toContain('is unsubscribed from the list');
    expect(heard).toMatchObject([{ via: 'page' }]);
    expect(await suppressed.get(NEWS.address)).toHaveLength(1);
    const undone = await pressed(done);
    expect(undone).toContain('is subscribed again');
    expect(returned).toEqual([{ ...NEWS, scope: 'list:news', repeated: false }]);
    expect(await suppressed.get(NEWS.address)).toEqual([]);
    await pressed(await (await fetch(url(one))).text());
    expect(new Set(reports.map(({ key }) => key)).size).toBe(2);
  });

  it.each([
    ['made up', () => 'AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 400, 'not valid'],
    ['missing', () => '', 400, 'not valid'],
    ['old', () => token({ expiresAt: Date.now() - 1_000 }), 410, 'too old'],
  ])('reveals nothing for a token that is %s', async (_, one, status, words) => {
    for (const answer of [await fetch(url(one())), await post(ONE_CLICK, FORM, one())]) {
      expect(answer.status).toBe(status);
      const html = await answer.text();
      expect(html).toContain(words);
      expect(html).not.toContain('mail.test');
    }
    expect(await suppressed.get(NEWS.address)).toEqual([]);
  });

  it.each<[string, string, Record<string, string>, number]>([
    ['nothing', '', FORM, 400],
    ['something else', 'List-Unsubscribe=Two-Clicks', FORM, 400],
    ['JSON', '{"a":1}', { 'Content-Type': 'application/json' }, 400],
    ['too much', `${ONE_CLICK}&x=${'x'.repeat(4_100)}`, FORM, 413],
  ])('refuses a POST of %s', async (_, body, headers, status) => {
    expect((await post(body, headers)).status).toBe(status);
    expect(await suppressed.get(NEWS.address)).toEqual([]);
  });

  it('allows no other method', async () => {
    const answer = await fetch(url(), { method: 'DELETE' });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, HEAD, POST');
  });

  it('asks to try again while the store or the application is away', async () => {
    isAway = true;
    expect((await post(ONE_CLICK)).status).toBe(503);
    isAway = false;
    refuse = true;
    const answer = await post(ONE_CLICK);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('60');
    expect(await answer.text()).toContain('try again');
    refuse = false;
    expect((await post(ONE_CLICK)).status).toBe(200);
    expect(heard).toMatchObject([{ repeated: true }]);
  });

  it('leaves who complained suppressed', async () => {
    await suppressed.add([{ address: NEWS.address, scope: 'list:news', reason: 'complaint', since: new Date() }]);
    expect((await post('Undo=Subscribe-Again')).status).toBe(200);
    expect(await suppressed.get(NEWS.address)).toMatchObject([{ reason: 'complaint' }]);
    expect(returned).toMatchObject([{ repeated: true }]);
  });

  it('speaks the languages of the application', async () => {
    const html = await (await fetch(url(), { headers: { 'Accept-Language': 'de-CH, en' } })).text();
    expect(html).toContain('<html lang="de">');
    expect(html).toContain('<h1>Abmelden &lt;hier&gt;</h1>');
    const other = await (await fetch(url(), { headers: { 'Accept-Language': 'none' } })).text();
    expect(other).toContain('<html lang="en">');
  });

  it('says in English what a translation lacks', async () => {
    const answer = await post(ONE_CLICK, { ...FORM, 'Accept-Language': 'half' });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toMatch(/<h1>Half<\/h1>[^]*is unsubscribed from the list/);
  });

  it('has a policy that fits its style', async () => {
    const answer = await fetch(url());
    const [, style = ''] = /<style>(.*)<\/style>/s.exec(await answer.text()) ?? [];
    const hash = createHash('sha256').update(style).digest('base64');
    expect(answer.headers.get('content-security-policy')).toContain(`style-src 'sha256-${hash}'`);
  });
});

it('records that somebody leaves also where they had complained, which may be taken away', async () => {
  await suppressed.add([{ address: NEWS.address, scope: 'list:news', reason: 'complaint', since: new Date() }]);
  await unsubscriptions.unsubscribe(token());
  await suppressed.remove(NEWS.address);
  expect(await suppressed.get(NEWS.address)).toMatchObject([{ scope: 'list:news', reason: 'unsubscribed' }]);
  expect(heard).toMatchObject([{ repeated: false }]);
});

it('ends a POST of unknown length that is too large, and its connection', async () => {
  const { hostname, port, pathname } = new URL(await serve(await PLATFORMS['express without parsers']()));
  const socket = connect(Number(port), hostname);
  socket.write(`POST ${pathname}?token=${token()} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n`);
  socket.write(`${'x'.repeat(5_000)}\r\n`);
  let said = '';
  for await (const chunk of socket.setEncoding('utf8')) said += String(chunk);
  expect(said).toMatch(/^HTTP\/1\.1 413 /);
});

describe('at boot', () => {
  const start = (options: object, service: unknown = { unsubscriptions }): Promise<unknown> =>
    NestFactory.createApplicationContext(
      moduleOf({
        imports: [MailUnsubscribeModule.forRoot(options)],
        providers: service === undefined ? [] : [{ provide: MailService, useValue: service }],
      }),
      { logger: false, abortOnError: false },
    );

  it.each<[object, string]>([
    [{ path: '../x' }, 'The mail option path is "../x"'],
    [{ undo: 'yes' }, 'The mail option undo is "yes"'],
    [{ title: 'x' }, 'The mail option title is not known'],
    [{ texts: 'x' }, 'The mail option texts is "x"'],
    [{ texts: { done: 1 } }, 'The mail option texts.done is 1'],
  ])('refuses %j', async (options, words) => {
    await expect(start(options)).rejects.toThrow(words);
  });

  it('names what is missing', async () => {
    await expect(start({ mailer: 'news' })).rejects.toThrow('finds no MailModule with the name news');
    const none = new MailUnsubscriptions({
      tokens: undefined,
      suppressions: undefined,
      report: () => Promise.resolve(),
    });
    await expect(start({}, { unsubscriptions: none })).rejects.toThrow('unsubscribe.secret is not set');
  });
});

describe('the option unsubscribe', () => {
  const parse = (unsubscribe: unknown): unknown => {
    const options = { transports: [{ name: 'main', url: 'smtp://127.0.0.1' }], queue: false, unsubscribe };
    return parseOptions(options as MailModuleOptions, 'mail').unsubscribe?.ways;
  };
  const secret = 'x'.repeat(32);

  it.each<[object, object]>([
    [{ secret }, {}],
    [
      { secret: [secret, `${secret}\n`], url: 'https://a.test', mailto: 'out@a.test' },
      { url: 'https://a.test', mailto: 'out@a.test' },
    ],
  ])('takes %j', (given, ways) => expect(parse(given)).toEqual(ways));

  it.each<[unknown, string]>([
    [true, 'unsubscribe is true'],
    [{}, 'unsubscribe.secret is missing'],
    [{ secret: '' }, 'unsubscribe.secret is empty'],
    [{ secret: [] }, 'unsubscribe.secret is an empty list'],
    [{ secret: [secret, 'short'] }, 'unsubscribe.secret[1] has 5 bytes, fewer than 32'],
    [{ secret: Buffer.alloc(32) }, 'unsubscribe.secret is of type object'],
    [{ secret, url: 'http://a.test' }, 'unsubscribe.url is "http://a.test". It must begin with https://'],
    [{ secret, mailto: 'out' }, 'unsubscribe.mailto is "out". It must be an address'],
    [{ secret, expiresAfter: '29d' }, 'unsubscribe.expiresAfter is "29d"'],
    [{ secret, onUnsubscribe: 'x' }, 'unsubscribe.onUnsubscribe is "x"'],
    [{ secret, onResubscribe: 'x' }, 'unsubscribe.onResubscribe is "x"'],
    [{ secret, path: 'x' }, 'unsubscribe.path is not known'],
  ])('refuses %j', (given, words) => {
    expect(() => parse(given)).toThrow(`The mail option ${words}`);
    expect(() => parse(given)).not.toThrow(/xxx|short/);
  });
});
