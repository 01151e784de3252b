import 'reflect-metadata';
import { createHmac } from 'node:crypto';
import { request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { Body, Controller, Injectable, Post, type CanActivate, type INestApplication } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import express from 'express';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Feedback } from '../../src/feedback/feedback.js';
import { ReturnPaths } from '../../src/feedback/return-path.js';
import { FeedbackRefusal, type FeedbackRequest, type FeedbackSource } from '../../src/feedback/source.js';
import { FeedbackEndpoint } from '../../src/nest/feedback/endpoint.js';
import { MailFeedbackModule } from '../../src/nest/feedback/mail-feedback.module.js';
import { parseFeedbackModule } from '../../src/nest/feedback/options.js';
import type { MailFeedback } from '../../src/nest/mail-feedback.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { postfixBounce } from '../support/bounce-mails.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { startRedis, type RedisServer } from '../support/redis.js';

const SECRET = 'a secret of the provider';
const TOKEN = 'T'.repeat(32);
const sign = (body: string, at: string): string => createHmac('sha256', SECRET).update(`${at}.${body}`).digest('hex');

/** A provider that signs its webhooks as most do: the bytes, and when they were sent. */
class Courier implements FeedbackSource {
  readonly name: string = 'courier';

  read({ headers, body, now }: FeedbackRequest): Promise<Feedback[]> {
    const at = headers['x-sent-at'] ?? '';
    if (headers['x-signature'] !== sign(body.toString(), at))
      throw new FeedbackRefusal('forged', 'the signature is wrong');
    if (now.getTime() - Number(at) > 60_000) throw new FeedbackRefusal('stale', 'it is too old');
    let events: { id: string; to: string; tag?: string }[];
    try {
      ({ events } = JSON.parse(body.toString()) as { events: typeof events });
    } catch (cause) {
      throw new FeedbackRefusal('malformed', 'it is no JSON', { cause });
    }
    return Promise.resolve(
      events.map(({ id, to, tag }) => ({
        key: id,
        type: 'bounced',
        permanent: true,
        source: 'courier',
        address: to,
        at: now,
        match: tag === undefined ? {} : { id: tag },
      })),
    );
  }
}

@Controller('echo')
class Echo {
  @Post()
  echo(@Body() body: unknown): unknown {
    return body;
  }
}

@Injectable()
class NobodyPasses implements CanActivate {
  canActivate(context: Parameters<CanActivate['canActivate']>[0]): boolean {
    return context.getClass() === Echo;
  }
}

const SILENT = { log: () => undefined, error: () => undefined, warn: () => undefined };
let number = 0;
const event = (rest: object = {}): object => ({ id: `event ${number++}`, to: 'ann@readers.test', ...rest });

interface Sent {
  headers?: Record<string, string>;
  at?: number;
  method?: string;
}

/** Posts bytes that are signed as they are, unless it is told otherwise. */
async function post(
  url: string,
  body: string,
  { headers = {}, at = Date.now(), method = 'POST' }: Sent = {},
): Promise<Response> {
  const signature = { 'x-sent-at': String(at), 'x-signature': sign(body, String(at)) };
  return fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...signature, ...headers },
    ...(method === 'GET' ? {} : { body }),
  });
}
/** With spaces that no parser of JSON keeps. */
const webhook = (...events: object[]): string => `{ "events" :  ${JSON.stringify(events)} }`;

const PLATFORMS = [
  { name: 'Express', adapter: () => new ExpressAdapter() },
  { name: 'Fastify', adapter: () => new FastifyAdapter() },
];

function modules(connection: string, sources: FeedbackSource[] = [new Courier()]) {
  return {
    module: class {},
    imports: [
      MailModule.forRoot({
        from: 'shop@shop.test',
        transports: [new Mailbox()],
        queue: { connection },
        bounces: { address: 'bounces@shop.test', secret: 'x'.repeat(32) },
        shutdownTimeout: '1s',
      }),
      MailFeedbackModule.forRoot({ sources, mails: { token: TOKEN }, maxBytes: 4_096 }),
    ],
    controllers: [Echo],
    providers: [{ provide: APP_GUARD, useClass: NobodyPasses }],
  };
}

async function listen(app: INestApplication): Promise<string> {
  await app.listen(0, '127.0.0.1');
  atEnd(() => app.close());
  return `http://127.0.0.1:${((app.getHttpServer() as Server).address() as AddressInfo).port}`;
}

describe.each(PLATFORMS)('MailFeedbackModule on $name', ({ adapter }) => {
  let redis: RedisServer;
  let root: string;
  let url: string;
  let mail: MailService;

  beforeAll(async () => {
    redis = await startRedis();
    const app = await NestFactory.create(modules(redis.url), adapter(), { logger: false });
    app.setGlobalPrefix('api');
    root = `${await listen(app)}/api`;
    url = `${root}/mail-feedback/courier`;
    mail = app.get(MailService);
  });
  const refusals = async (source = 'courier'): Promise<Record<string, number>> =>
    (await mail.stats({ since: '1h' })).feedback.refused[source] ?? {};

  it('takes what is signed, whatever its content type, and leaves other requests to their parsers', async () => {
    const { id } = await mail.send({ lane: 'bulk', to: 'ann@readers.test', subject: 'x', text: 'x' });
    for (const type of ['application/json', 'text/plain; charset=UTF-8', 'application/x-www-form-urlencoded', 'x/y']) {
      const answer = await post(url, webhook(event({ tag: id })), { headers: { 'content-type': type } });
      expect([answer.status, await answer.text()]).toEqual([200, '']);
    }
    expect((await mail.status(id))?.recipients[0]?.feedback).toHaveProperty('bounced.permanent', true);
    expect((await mail.stats({ since: '1h' })).feedback.lanes.bulk.bounced).toBe(4);
    expect(await mail.suppressions.get('ann@readers.test')).toMatchObject([{ scope: 'all', reason: 'hard-bounce' }]);
    const echo = await post(`${root}/echo`, '{ "a": 1 }');
    expect([echo.status, await echo.json()]).toEqual([201, { a: 1 }]);
    expect((await post(`${url}/`, webhook(event()))).status).toBe(200);
  });

  it('takes the same once, and counts that it came again', async () => {
    const again = webhook(event());
    expect((await post(url, again)).status).toBe(200);
    expect((await post(url, again)).status).toBe(200);
    expect((await refusals())['replayed']).toBe(1);
  });

  it('refuses and counts what is forged, stale or no report, and tells nobody why', async () => {
    const body = webhook(event());
    const answers = [
      await post(url, body, { headers: { 'x-signature': '0'.repeat(64) } }),
      await post(url, `${body} `, { headers: { 'x-signature': sign(body, '1') } }),
      await post(url, body, { at: Date.now() - 3_600_000 }),
      await post(url, 'no JSON'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 403, 400]);
    for (const answer of answers) expect(await answer.text()).toBe('');
    expect(await refusals()).toMatchObject({ forged: 2, stale: 1, malformed: 1 });
  });

  it('reads of several headers of one name the last, which is that of the nearest proxy', async () => {
    const body = webhook(event());
    const at = String(Date.now());
    const right = sign(body, at);
    const answered = (...signatures: string[]): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = { 'x-sent-at': at, 'x-signature': signatures };
        httpRequest(url, { method: 'POST', headers }, (answer) => resolve(answer.resume().statusCode))
          .on('error', reject)
          .end(body);
      });
    expect([await answered('0', right), await answered(right, '0')]).toEqual([200, 401]);
  });

  it('takes the others of a webhook in which one is no report', async () => {
    const before = (await mail.stats({ since: '1h' })).feedback.total.bounced;
    expect((await post(url, webhook(event({ to: 'nobody' }), event({ to: 'bob@readers.test' })))).status).toBe(200);
    expect((await mail.stats({ since: '1h' })).feedback.total.bounced).toBe(before + 1);
    expect(await refusals()).toMatchObject({ malformed: 2 });
  });

  it('refuses what is oversized, said or unsaid', async () => {
    const large = webhook(event({ x: 'x'.repeat(5_000) }));
    expect((await post(url, large)).status).toBe(413);
    const chunked = new Promise<number | undefined>((resolve, reject) => {
      const sending = httpRequest(url, { method: 'POST' }, (answer) => resolve(answer.statusCode));
      sending.on('error', reject);
      for (let n = 0; n < 10; n++) sending.write('x'.repeat(1_000));
      sending.end();
    });
    expect(await chunked).toBe(413);
    expect(await refusals()).toMatchObject({ oversized: 2 });
  });

  it('knows no other sources, methods and paths', async () => {
    const status = async (path: string, sent: Sent = {}): Promise<number> =>
      (await post(path, webhook(event()), sent)).status;
    expect(await status(`${root}/mail-feedback/stranger`)).toBe(404);
    expect(await status(`${url}/more`)).toBe(404);
    expect(await status(`${root}/mail-feedback`)).toBe(404);
    expect(await status(url.replace('/api', ''))).toBe(404);
    const asked = await post(url, '', { method: 'GET' });
    expect([asked.status, asked.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('takes mails from whoever has the token', async () => {
    const { id } = await mail.send({ lane: 'bulk', to: 'cid@readers.test', subject: 'x', text: 'x' });
    await eventually(async () => expect((await mail.status(id))?.state).toBe('sent'));
    const paths = new ReturnPaths('bounces@shop.test', [Buffer.from('x'.repeat(32))]);
    const recipient = 'cid@readers.test';
    const bounce = { to: paths.of(id, [recipient]), recipient, messageId: `<${id}@shop.test>` };
    // Longer than a webhook may be.
    const raw = `${postfixBounce(bounce)}${'\r\n'.repeat(5_000)}`;
    const mails = `${root}/mail-feedback/dsn`;
    for (const authorization of ['', 'Bearer', `Bearer ${'U'.repeat(32)}`, `Basic ${TOKEN}`]) {
      const refused = await post(mails, raw, { headers: { authorization } });
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    }
    const answer = await post(mails, raw, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect([answer.status, await answer.json()]).toMatchObject([200, { kind: 'report', accepted: 1, forged: 0 }]);
    expect(await refusals('dsn')).toEqual({ unauthorized: 4 });
  });

  it('asks to come again while the store is away, and loses nothing', async () => {
    const body = webhook(event({ to: 'dora@readers.test' }));
    await redis.stop();
    const refused = await post(url, body);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '30']);
    await redis.restart();
    await eventually(async () => expect((await post(url, body)).status).toBe(200));
    expect(await mail.suppressions.get('dora@readers.test')).toHaveLength(1);
  });
});

it('works in an application of a testing module, and says so where the bytes are gone', async () => {
  const redis = await startRedis();
  const tested = await Test.createTestingModule({ imports: [modules(redis.url)] }).compile();
  const url = await listen(tested.createNestApplication({ logger: false }));
  expect((await post(`${url}/mail-feedback/courier`, webhook(event()))).status).toBe(200);
  const server = express();
  server.use(express.json());
  const app = await NestFactory.create(modules(redis.url), new ExpressAdapter(server), { logger: false });
  const other = await listen(app);
  expect((await post(`${other}/mail-feedback/courier`, webhook(event()))).status).toBe(500);
  // Of two modules at one path each takes its own, and a controller below it the rest.
  class Slow extends Courier {
    override readonly name: string = 'slow';
  }
  @Controller('mail-feedback/own')
  class Own {
    @Post()
    own(): string {
      return 'own';
    }
  }
  const { imports } = modules(redis.url);
  const second = (sources: FeedbackSource[]) => ({
    module: class {},
    imports: [...imports, MailFeedbackModule.forRoot({ sources })],
    controllers: [Own],
  });
  const warnings: string[] = [];
  const logger = { ...SILENT, warn: (warning: string) => void warnings.push(warning) };
  const root = await listen(await NestFactory.create(second([new Slow()]), { logger }));
  for (const [source, status] of [
    ['courier', 200],
    ['slow', 200],
    ['own', 201],
    ['none', 404],
  ] as const) {
    expect((await post(`${root}/mail-feedback/${source}`, webhook(event()))).status).toBe(status);
  }
  expect(warnings).toContainEqual(expect.stringContaining('Set feedback: true'));
  await expect(NestFactory.create(second([new Courier()]), { logger: false, abortOnError: false })).rejects.toThrow(
    'Two MailFeedbackModules take /mail-feedback/courier',
  );
  // A server without HTTP boots too.
  await (await NestFactory.createApplicationContext(modules(redis.url), { logger: false })).close();
});

it('holds no more bodies at once than there is memory for, and has room again when one is done', async () => {
  const feedback = { readMail: () => Promise.resolve({ kind: 'no-report' }) } as unknown as MailFeedback;
  const none = (): void => undefined;
  const endpoint = new FeedbackEndpoint(feedback, {
    ...{ sources: new Map<string, FeedbackSource>(), mailTokens: [TOKEN], maxBytes: 4_096 },
    ...{ onWarning: none, onError: none },
  });
  const megabyte = Buffer.alloc(1024 * 1024);
  const post = () => {
    const authorization = `Bearer ${TOKEN}`;
    const about = { method: 'POST', headers: { authorization }, rawHeaders: [], complete: false };
    const request = Object.assign(new PassThrough(), about);
    const status = new Promise<number>((resolve) => {
      const response = { writeHead: resolve, end: none };
      void endpoint.handle('dsn', request as unknown as IncomingMessage, response as unknown as ServerResponse);
    });
    request.write(megabyte);
    return { request, status };
  };
  const slow = Array.from({ length: 100 }, post);
  await new Promise((resolve) => setImmediate(resolve));
  expect(await post().status).toBe(503);
  slow[0]!.request.end();
  expect(await slow[0]!.status).toBe(200);
  const next = post();
  next.request.end();
  expect(await next.status).toBe(200);
  for (const { request } of slow.slice(1)) request.destroy();
  for (const { status } of slow.slice(1)) expect(await status).toBe(400);
});

describe('MailFeedbackModule does not boot', () => {
  it.each([
    [{}, /nobody to take reports from/],
    [{ sources: [] }, /nobody to take reports from/],
    [{ sources: [{ name: 'x' }] }, /sources\[0\].*read/],
    [{ sources: [{ ...new Courier(), read: () => [] }, new Courier()] }, /sources\[1\]\.name is "courier"/],
    [{ sources: [{ name: 'dsn', read: () => [] }] }, /sources\[0\]\.name/],
    [{ mails: {} }, /mails\.token is missing/],
    [{ mails: { token: 'short' } }, /mails\.token has 5 bytes/],
    [{ mails: { token: ['T'.repeat(32), 'ü'.repeat(32)] } }, /mails\.token/],
    [{ sources: [new Courier()], path: 'a b' }, /path is "a b"/],
    [{ sources: [new Courier()], maxBytes: 1 }, /maxBytes/],
    [{ sources: [new Courier()], secret: 'x' }, /secret is not known/],
  ])('with %j', (options, message) => {
    expect(() => parseFeedbackModule(options as never)).toThrow(message);
  });

  const boot = (mail: object, options: object): Promise<unknown> =>
    NestFactory.createApplicationContext(
      {
        module: class {},
        imports: [
          MailModule.forRoot({ from: 'a@shop.test', transports: [new Mailbox()], queue: false, ...mail }),
          MailFeedbackModule.forRoot({ sources: [new Courier()], ...options }),
        ],
      },
      { logger: false, abortOnError: false },
    );
  it('without a queue, or for a mailer that there is not', async () => {
    await expect(boot({}, {})).rejects.toThrow(/queue: false/);
    await expect(boot({}, { mailer: 'news' })).rejects.toThrow(/finds no MailModule with the name news/);
  });
});
