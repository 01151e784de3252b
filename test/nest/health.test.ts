import { Inject, Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  getMailHealthToken,
  InjectMailHealth,
  MailHealthIndicator,
  transportHealth,
} from '../../src/nest/mail-health.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import type { Routes } from '../../src/transport/route.js';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { boot, into } from './boot.js';

/** A circuit opens, and closes again, after pauses of seconds. */
const PATIENT = { within: 20_000 };

async function start(options: Partial<MailModuleOptions>) {
  const app = await boot({ imports: [MailModule.forRoot({ ...into(), ...options })] });
  const mail = app.get(MailService);
  const health = app.get(MailHealthIndicator);
  const send = () => mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' });
  const transport = (name: string) => health.transports().find((one) => one.name === name)!;
  return { mail, health, send, transport };
}

describe('verify and isHealthy', () => {
  it('rank the transports of each lane: those of this region first', async () => {
    const server = await startSmtpServer();
    const { mail, health } = await start({
      region: 'eu',
      transports: [
        { name: 'abroad', url: server.url, region: 'us', lanes: ['priority'] },
        { name: 'anywhere', url: server.url },
        { name: 'near', url: server.url, region: 'eu' },
        { name: 'bulk', url: server.url, region: 'eu', lanes: ['bulk'] },
      ],
    });
    const checks = await mail.verify();
    expect(checks.map(({ name, rank }) => [name, rank])).toEqual([
      ['abroad', { priority: expect.any(Number) as number }],
      ['anywhere', { priority: expect.any(Number) as number, bulk: 3 }],
      ['near', { priority: 1, bulk: expect.any(Number) as number }],
      ['bulk', { bulk: expect.any(Number) as number }],
    ]);
    const [abroad, anywhere, near] = checks;
    expect([abroad!.rank.priority, anywhere!.rank.priority].sort()).toEqual([2, 3]);
    expect(near!.rank.bulk! + checks[3]!.rank.bulk!).toBe(3);
    expect(checks.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^in us, \d+\.\d ms$/),
      expect.stringMatching(/^no region, \d+\.\d ms$/),
      expect.stringMatching(/^same region \(eu\), \d+\.\d ms$/),
      expect.stringMatching(/^same region \(eu\), \d+\.\d ms$/),
    ]);
    for (const check of checks) {
      expect(check).toMatchObject({ ok: true, circuit: 'closed', latency: expect.any(Number) as number });
      expect(check.duration).toBeGreaterThanOrEqual(0);
      expect(check).not.toHaveProperty('lastError');
      expect(check.window).toEqual(check.rank.bulk === undefined ? undefined : { size: 15, max: 15, inFlight: 0 });
    }
    expect(checks.map(({ region }) => region)).toEqual(['us', undefined, 'eu', 'eu']);

    expect(health.transports().map(({ name, rank, circuit }) => ({ name, rank, circuit }))).toEqual(
      checks.map(({ name, rank, circuit }) => ({ name, rank, circuit })),
    );
  });

  it('rank by measured round trip where no region tells', async () => {
    const server = await startSmtpServer();
    const far = await startTcpProxy(server.port);
    far.delay = 50;
    const { mail, transport } = await start({
      transports: [
        { name: 'far', url: `smtp://127.0.0.1:${far.port}` },
        { name: 'close', url: server.url },
      ],
    });
    await mail.verify();
    expect(transport('close')).toMatchObject({
      rank: { priority: 1 },
      reason: expect.stringMatching(/^\d+\.\d ms$/) as string,
    });
    expect(transport('far')).toMatchObject({ rank: { priority: 2 } });
    expect(transport('far').latency!).toBeGreaterThanOrEqual(100);
    expect(transport('close').latency!).toBeLessThan(transport('far').latency!);
  });

  it('tell why a transport cannot be used, and no password', async () => {
    const login = await startSmtpServer({ auth: { user: 'shop', pass: 'right' } });
    const silent = await startScriptedSmtp({ connect: () => 'hang' });
    const { mail, transport } = await start({
      transports: [
        { name: 'login', url: login.url.replace('right', 's3cret') },
        { name: 'silent', url: silent.url, minWarm: 0, connectTimeout: '1h', greetingTimeout: '1h' },
        new Mailbox(),
      ],
      priority: { timeout: '500ms' },
    });
    const checks = await mail.verify();
    expect(checks).toMatchObject([
      { name: 'login', ok: false, error: expect.stringContaining('535 5.7.8') as string },
      { name: 'silent', ok: false, error: expect.any(String) as string },
      { name: 'mailbox', ok: true, reason: 'not measured yet' },
    ]);
    expect(checks[2]).not.toHaveProperty('error');
    expect(transport('login').lastError).toEqual({
      at: expect.any(Date) as Date,
      error: expect.stringMatching(/^login at auth: .*535 5\.7\.8/) as string,
    });
    expect(JSON.stringify([checks, transport('login')])).not.toContain('s3cret');
  });
});

it('shows no address of a recipient', () => {
  const words = '450 4.7.1 <ann@patient.test> slow down';
  const window = { size: 1, max: 2, inFlight: 0, reason: words };
  const standing = { circuit: { state: 'closed', failures: 0 }, lastError: { at: new Date(0), error: words }, window };
  const transport = { name: 'main', lanes: ['bulk'], standing };
  const routes = { transports: [transport], ranking: () => [{ transport, reason: '' }] };
  expect(transportHealth(routes as unknown as Routes)).toMatchObject([
    { lastError: { error: '450 4.7.1 <…> slow down' }, window: { reason: '450 4.7.1 <…> slow down' } },
  ]);
});

describe('isHealthy', () => {
  it('is up while one transport of the priority lane works, down when none does, and up again', async () => {
    const [one, other, bulk] = [await startSmtpServer(), await startSmtpServer(), await startSmtpServer()];
    const { health, send, transport } = await start({
      transports: [
        { name: 'one', url: one.url },
        { name: 'other', url: other.url },
        { name: 'bulk', url: bulk.url, lanes: ['bulk'] },
      ],
    });
    const status = async () => (await health.isHealthy()).mail.status;
    expect(await status()).toBe('up');
    const before = new Date();
    await one.stop();
    await eventually(async () => {
      expect(await send()).toMatchObject({ transport: 'other' });
      expect(transport('one').circuit).toBe('open');
    }, PATIENT);
    expect(await status()).toBe('up');
    expect(transport('one')).toMatchObject({
      rank: { priority: 2 },
      reason: expect.stringMatching(/^down \(circuit open\), /) as string,
      lastError: { error: expect.stringMatching(/^one at connect: .*ECONNREFUSED/) as string },
    });
    expect(transport('one').lastError!.at.getTime()).toBeGreaterThanOrEqual(before.getTime());
    expect(transport('other')).toMatchObject({ rank: { priority: 1 }, circuit: 'closed' });

    await other.stop();
    await eventually(async () => {
      await expect(send()).rejects.toThrow();
      expect(await health.isHealthy()).toMatchObject({
        mail: { status: 'down', problems: ['No transport of the priority lane works'] },
      });
    }, PATIENT);
    expect(transport('bulk')).toMatchObject({ rank: { bulk: 1 }, circuit: 'closed' });

    await one.resume();
    await eventually(async () => expect(await status()).toBe('up'), PATIENT);
    expect(transport('one')).toMatchObject({ rank: { priority: 1 }, circuit: 'closed' });
    expect(transport('one').lastError).toBeDefined();
  }, 60_000);

  it('asks no server', async () => {
    const server = await startScriptedSmtp();
    const { mail, health } = await start({ transports: [{ name: 'main', url: server.url }] });
    // The connection that is kept has been opened, and its round trip measured.
    await eventually(() => health.transports()[0]!.latency !== undefined);
    const before = { connections: server.connections, commands: server.commands.length };
    for (let n = 0; n < 100; n++) expect((await health.isHealthy('smtp')).smtp.status).toBe('up');
    // This one does ask, and would come after what was asked before.
    await mail.verify();
    await eventually(() => expect(server.commands).toContain('QUIT'));
    expect(server.connections).toBe(before.connections + 1);
    expect(server.commands.slice(before.commands)).toEqual([expect.stringMatching(/^EHLO/), 'NOOP', 'QUIT']);
    server.stop();
    for (let n = 0; n < 100; n++) expect(Object.keys(await health.isHealthy())).toEqual(['mail']);
  });

  it('is injected by type, or by the name of one of several mailers', async () => {
    @Injectable()
    class HealthPage {
      constructor(
        @Inject(MailHealthIndicator) readonly byType: MailHealthIndicator,
        @InjectMailHealth() readonly plain: MailHealthIndicator,
        @InjectMailHealth('news') readonly news: MailHealthIndicator,
      ) {}
    }
    const mailer = (name: string) => into(new Mailbox(name));
    const app = await boot({
      imports: [MailModule.forRoot(mailer('main')), MailModule.forRoot({ ...mailer('newsroom'), name: 'news' })],
      providers: [HealthPage],
    });
    const { byType, plain, news } = app.get(HealthPage);
    expect(byType).toBe(plain);
    expect(app.get(getMailHealthToken('news'))).toBe(news);
    expect(await plain.isHealthy()).toMatchObject({ mail: { status: 'up', transports: [{ name: 'main' }] } });
    expect(await news.isHealthy('news')).toMatchObject({ news: { status: 'up', transports: [{ name: 'newsroom' }] } });
  });
});
