import { Logger, type Type } from '@nestjs/common';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type MailHealthIndicator } from '../../src/nest/mail-health.js';
import { tagValue } from '../../src/message/tags.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { parseTenant } from '../../src/nest/options/parse.js';
import type { SesConfig, SesTransportConfig } from '../../src/nest/options/ses.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { eventually } from '../support/eventually.js';
import { openPage } from '../support/page.js';
import { startRedis } from '../support/redis.js';
import { SES_KEY, startSesStub, type SesStub } from '../support/ses-stub.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { mostIn } from '../transport/limited.js';
import { boot } from './boot.js';
import { parse, refusal } from './options.js';

let ses: SesStub;
let smtp: TestSmtpServer;
let redis: string;
beforeAll(async () => {
  [ses, smtp] = [await startSesStub(), await startSmtpServer()];
  redis = (await startRedis()).url;
});
beforeEach(() => {
  ses.reset();
  smtp.clear();
});

let mailers = 0;

/** An application that sends by SES first. */
function app(options: Partial<SesTransportConfig> = {}, others: MailModuleOptions['transports'] = []) {
  const transport = { name: 'ses', ses: { region: 'eu-west-1', endpoint: ses.url, credentials: SES_KEY }, ...options };
  return boot({
    imports: [
      MailModule.forRoot({
        name: `ses${++mailers}`,
        from: 'Shop <no-reply@shop.test>',
        transports: [transport, ...others],
        queue: { connection: redis, retry: { firstPause: 10, maxPause: 10 } },
      }),
    ],
  });
}

const mailOf = async (...given: Parameters<typeof app>): Promise<MailService> => serviceOf(await app(...given));
const serviceOf = (booted: Awaited<ReturnType<typeof app>>): MailService => booted.get(`MailService(ses${mailers})`);
const people = (count: number) => Array.from({ length: count }, (_, n) => ({ to: `m${n}@mail.test` }));

async function campaign(mail: MailService, count: number): Promise<string> {
  const { id } = await mail.sendBulk({ subject: 'News', text: 'News', recipients: people(count) });
  await eventually(async () => expect(await mail.campaign(id)).toMatchObject({ state: 'completed', sent: count }), {
    within: 20_000,
  });
  return id;
}

const once = (count: number) =>
  people(count)
    .map(({ to }) => to)
    .sort();
const served = () => ses.received.flatMap(({ to }) => to).sort();

describe('mail by SES', () => {
  it('goes out on both lanes, with its ids', async () => {
    ses.account = { SendQuota: { Max24HourSend: 200, MaxSendRate: 100, SentLast24Hours: 12 } };
    const booted = await app();
    const mail = serviceOf(booted);
    const receipt = await mail.send({ to: 'ann@mail.test', bcc: 'hidden@mail.test', subject: 'Code', text: '123456' });
    expect(receipt).toMatchObject({
      status: 'sent',
      transport: 'ses',
      accepted: ['ann@mail.test', 'hidden@mail.test'],
    });
    expect(ses.received[0]).toMatchObject({
      to: ['ann@mail.test', 'hidden@mail.test'],
      tags: { 'mail-id': tagValue(receipt.id) },
    });
    expect(ses.received[0]!.raw.toString()).not.toContain('hidden');
    const id = await campaign(mail, 3);
    expect(ses.received.slice(1).map(({ tags }) => tags['campaign-id'])).toEqual(Array(3).fill(tagValue(id)));
    const [first] = served();
    expect(first).toBe('ann@mail.test');
    const notice = '12 of 200 recipients in the last 24 hours; at most 100 a second';
    expect(await mail.verify()).toMatchObject([{ ok: true, notice }]);
    const health = booted.get<MailHealthIndicator>(`MailHealthIndicator(ses${mailers})`);
    expect(health.transports()).toMatchObject([{ name: 'ses', region: 'eu-west-1', notice }]);
  });

  it('keeps to the rate of the account, so that nothing is refused', async () => {
    ses.account = { SendQuota: { Max24HourSend: 200, MaxSendRate: 20, SentLast24Hours: 0 } };
    await campaign(await mailOf(), 30);
    expect(served()).toEqual(once(30));
    expect(
      mostIn(
        1_000,
        ses.received.map(({ at }) => at),
      ),
    ).toBeLessThanOrEqual(20);
  });

  it('arrives once where SES refuses what is too fast', async () => {
    ses.perSecond = 10;
    ses.account = { status: 403, type: 'AccessDeniedException', message: 'Not authorized' };
    const warned = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const mail = await mailOf();
    expect(warned.mock.calls.flat()).toContainEqual(expect.stringContaining('Allow ses:GetAccount'));
    await campaign(mail, 16);
    expect(ses.throttled).toBeGreaterThan(0);
    expect(served()).toEqual(once(16));
  });

  it('goes elsewhere when SES has suspended the account', async () => {
    const mail = await mailOf({}, [{ name: 'smtp', url: smtp.url }]);
    ses.onSend = () => ({ type: 'AccountSuspendedException', message: 'The account is suspended' });
    ses.account = { EnforcementStatus: 'SHUTDOWN' };
    const receipt = await mail.send({ to: 'ann@mail.test', subject: 'Code', text: '123456' });
    expect(receipt).toMatchObject({ transport: 'smtp' });
    await campaign(mail, 20);
    expect(ses.received).toEqual([]);
    expect(smtp.received.flatMap(({ to }) => to).sort()).toEqual(['ann@mail.test', ...once(20)]);
    expect(await mail.verify()).toMatchObject([
      { ok: false, circuit: 'open', error: 'ses at greeting: SES has shut down sending for this account' },
      { ok: true },
    ]);
  });

  it('is not given up where nobody has verified the sender yet', async () => {
    let verified = false;
    ses.onSend = () => (verified ? undefined : { type: 'MessageRejected', message: 'Email address is not verified.' });
    const mail = await mailOf({ rateLimit: false });
    const { id } = await mail.sendBulk({ subject: 'News', text: 'News', recipients: people(3) });
    await eventually(() => expect(ses.requests).toBeGreaterThan(1));
    expect(await mail.campaign(id)).toMatchObject({ failed: 0, sent: 0 });
    verified = true;
    await eventually(async () => expect(await mail.campaign(id)).toMatchObject({ sent: 3 }), { within: 20_000 });
  });

  it('waits for nobody whose sender is not verified', async () => {
    ses.verified = ['shop.test'];
    const mail = await mailOf({ rateLimit: false });
    const news = { from: 'news@other.test', subject: 'News', text: 'News', recipients: people(120) };
    const { id } = await mail.sendBulk(news);
    await eventually(() => expect(ses.requests).toBeGreaterThan(0));
    await campaign(mail, 120);
    expect(await mail.campaign(id)).toMatchObject({ failed: 0, sent: 0 });
    // Few of its mails were asked for, now and then.
    expect(ses.requests - ses.received.length).toBeLessThan(60);
  });
});

it('is set up as docs/ses.md opens', async () => {
  const env = { QUEUE_URL: redis, AWS_ENDPOINT_URL_SESV2: ses.url };
  const key = { AWS_ACCESS_KEY_ID: SES_KEY.accessKeyId, AWS_SECRET_ACCESS_KEY: SES_KEY.secretAccessKey };
  for (const [name, value] of Object.entries({ ...env, ...key })) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { SesMailModule } = await openPage('docs/ses.md').load<{ SesMailModule: Type }>('src/ses-mail.module.ts');
  const mail = (await boot({ imports: [SesMailModule] })).get(MailService);
  await mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' });
  await mail.send({ lane: 'bulk', to: 'bob@mail.test', subject: 'x', text: 'x' });
  await eventually(() => expect(served()).toEqual(['ann@mail.test', 'bob@mail.test']));
  expect(ses.received).toMatchObject([0, 1].map(() => ({ configurationSet: 'shop', tags: { app: 'shop' } })));
});

describe('the options of SES', () => {
  const withSes = (account: object, transport: object = {}) => ({
    transports: [{ name: 'ses', ses: account, ...transport }],
    queue: false,
  });
  const read = (account: SesConfig, transport: object = {}) => parse(withSes(account, transport)).transports[0];

  it('have defaults', () => {
    expect(read({})).toEqual({
      ses: {
        name: 'ses',
        lanes: ['priority', 'bulk'],
        maxConnections: 5,
        connectTimeout: 10_000,
        timeout: 60_000,
        tags: {},
        followsRate: true,
      },
      weight: 1,
    });
  });

  it('are read', () => {
    const client = { send: () => Promise.resolve(), config: {} };
    const account = {
      ...{ region: 'us-gov-west-1', endpoint: 'https://vpce-1.email.eu-west-1.vpce.amazonaws.com', client },
      ...{ configurationSet: 'news_1', tags: { app: 'shop' }, credentials: SES_KEY, timeout: 5_000 },
    };
    const limit = {
      rateLimit: { messages: 10, per: '1s', reserve: 2 },
      lanes: ['priority'],
      weight: 3,
      maxConnections: 20,
    };
    const { region, ...rest } = account;
    expect(read(account, limit)).toEqual({
      ses: {
        ...{ name: 'ses', region, awsRegion: region, ...rest },
        ...{ lanes: ['priority'], maxConnections: 20, connectTimeout: 10_000, followsRate: false },
      },
      rateLimit: { messages: 10, per: 1_000, reserve: 2 },
      weight: 3,
    });
    expect(read({}, { rateLimit: false, region: 'home' })).toMatchObject({
      ses: { followsRate: false, region: 'home' },
    });
    for (const region of ['eusc-de-east-1', 'ap-southeast-2'])
      expect(read({ region })).toMatchObject({ ses: { region } });
    for (const endpoint of ['http://localhost:4566', 'http://[::1]:4566/', 'http://127.0.0.1:4566'])
      expect(read({ endpoint })).toMatchObject({ ses: { endpoint } });
    expect(parseTenant('acme', { ses: { region: 'eu-west-1' } })).toMatchObject({ ses: { name: 'acme' } });
  });

  it.each<[string, object, object, string]>([
    ['a region', { region: 'Ireland' }, {}, 'ses.region is "Ireland". Give the name of an AWS region'],
    ['an endpoint', { endpoint: 'https://a:secret@host' }, {}, 'ses.endpoint is "https://***@host". Give https://host'],
    [
      'a clear way',
      { endpoint: 'http://ses.lan:4566' },
      {},
      'ses.endpoint is "http://ses.lan:4566". Give https://host',
    ],
    ['a configuration set', { configurationSet: 'a b' }, {}, 'ses.configurationSet is "a b". Give its name'],
    ['a tag', { tags: { app: 'a.b' } }, {}, 'ses.tags.app is "a.b". SES takes up to 256'],
    ['a tag of ours', { tags: { 'mail-id': 'x' } }, {}, 'ses.tags.mail-id is "x". This tag is set for every mail.'],
    ['credentials', { credentials: 'secret' }, {}, 'ses.credentials is of type string. Give { accessKeyId'],
    ['half a key', { credentials: { accessKeyId: 'a' } }, {}, 'ses.credentials.secretAccessKey is missing. Give'],
    ['a client', { client: {} }, {}, 'ses.client is an object. Give an SESv2Client'],
    ['a rate', {}, { rateLimit: 'auto' }, `rateLimit is "auto". Give 'account', false, or { messages, per }.`],
    ['a probe', {}, { probe: 'smtp' }, 'probe is "smtp". Give { type: \'http\', url }'],
    ['a url', {}, { url: 'smtp://host' }, 'url is not known'],
    ['another option', { regoin: 'eu-west-1' }, {}, 'ses.regoin is not known'],
  ])('refuse %s', (_, account, transport, told) => {
    const words = refusal(withSes(account, transport));
    expect(words).toContain(`The mail option transports[0].${told}`);
    expect(words).not.toContain('secret"');
  });
});
