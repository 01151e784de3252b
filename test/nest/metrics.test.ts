import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Counter, register, Registry } from 'prom-client';
import { beforeAll, describe, expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { getMailToken } from '../../src/nest/inject-mail.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { eventually } from '../support/eventually.js';
import { startRedis, type RedisServer } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { boot, into } from './boot.js';
import { parse } from './options.js';

let redis: RedisServer;
let smtp: TestSmtpServer;

beforeAll(async () => {
  redis = await startRedis();
  smtp = await startSmtpServer({
    onRcpt: (address) => (address.startsWith('gone') ? { code: 550, text: '5.1.1 no such user' } : undefined),
  });
});

/** A scrape: each sample's value by its name and labels. */
async function scrape(registry: Registry): Promise<Map<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

/** The labels and value of each sample of that name. */
const samples = (all: Map<string, number>, name: string) =>
  Object.fromEntries(
    [...all].flatMap(([key, value]) => (key.startsWith(`${name}{`) ? [[key.slice(name.length), value]] : [])),
  );

describe('metrics', () => {
  it('count what becomes of mail, on both lanes, and time it', async () => {
    const registry = new Registry();
    const options = {
      from: 'shop@shop.test',
      transports: [{ name: 'main', url: smtp.url }],
      resolveTransport: () => ({ url: smtp.url }),
      queue: { connection: redis.url },
      metrics: { register: registry, prefix: 'shop_', buckets: [1, 60] },
    };
    const app = await boot({ imports: [MailModule.forRoot(options)] });
    const mail = app.get(MailService);
    const message = { subject: 'x', text: 'x' };
    await mail.send({ ...message, to: 'ann@x.test' });
    await expect(mail.send({ ...message, to: 'gone@x.test' })).rejects.toThrow();
    await mail.send({ ...message, to: 'ann@x.test', transport: 'tenant-7' });
    const recipients = ['ann', 'bob', 'gone'].map((name) => ({ to: `${name}@x.test` }));
    const report = { type: 'bounced', source: 'courier', address: 'ann@x.test', at: new Date(), match: {} } as const;
    await mail.feedback.report([
      { ...report, key: '1' },
      { ...report, key: '1' },
    ]);
    const { id } = await mail.sendBulk({ ...message, recipients });
    await mail.send({ ...message, lane: 'bulk', to: 'ann@x.test' });
    await eventually(async () => {
      const all = await scrape(registry);
      expect(samples(all, 'shop_mail_messages_total')).toEqual({
        '{mailer="default",lane="priority",transport="main",outcome="sent"}': 1,
        '{mailer="default",lane="priority",transport="main",outcome="failed"}': 1,
        '{mailer="default",lane="priority",transport="resolved",outcome="sent"}': 1,
        '{mailer="default",lane="bulk",transport="",outcome="queued"}': 4,
        '{mailer="default",lane="bulk",transport="main",outcome="sent"}': 3,
        '{mailer="default",lane="bulk",transport="main",outcome="failed"}': 1,
      });
      expect(all.get('shop_mail_campaigns_total{mailer="default",outcome="completed"}')).toBe(1);
      expect(all.get('shop_mail_batch_messages_count{mailer="default"}')).toBe(2);
    });
    const all = await scrape(registry);
    expect(samples(all, 'shop_mail_send_duration_seconds_bucket')).toMatchObject({
      '{le="1",mailer="default",lane="bulk",transport="main"}': 3,
      '{le="+Inf",mailer="default",lane="priority",transport="main"}': 1,
    });
    expect(all.get('shop_mail_send_duration_seconds_sum{mailer="default",lane="bulk",transport="main"}')).toBeLessThan(
      60,
    );
    expect(samples(all, 'shop_mail_feedback_total')).toEqual({
      '{mailer="default",lane="",source="courier",type="bounced"}': 1,
    });
    expect(samples(all, 'shop_mail_feedback_refused_total')).toEqual({
      '{mailer="default",source="courier",reason="replayed"}': 1,
    });
    expect(all.get('shop_mail_queue_time_seconds_count{mailer="default"}')).toBe(3);
    expect(all.get('shop_mail_batch_messages_sum{mailer="default"}')).toBe(4);
    expect(samples(all, 'shop_mail_transport_circuit')).toEqual({
      '{mailer="default",transport="main",state="closed"}': 1,
      '{mailer="default",transport="main",state="half-open"}': 0,
      '{mailer="default",transport="main",state="open"}': 0,
    });
    expect(all.get('shop_mail_transport_window_messages{mailer="default",transport="main"}')).toBe(15);
    expect(all.get('shop_mail_transport_in_flight_messages{mailer="default",transport="main"}')).toBe(0);
    expect(all.get('shop_mail_transport_round_trip_seconds{mailer="default",transport="main"}')).toBeLessThan(10);
    expect(all.get('shop_mail_queue_workers{mailer="default"}')).toBe(1);
    expect(await registry.metrics()).not.toMatch(new RegExp(`@|ann|tenant-7|${id}`));
    await app.close();
    expect(registry.getMetricsAsArray()).toEqual([]);
  });

  it('count what was queued of a campaign that was interrupted, and what was missing of it', async () => {
    const registry = new Registry();
    const queue = { connection: redis.url, worker: false, batch: { size: 100 } } as const;
    const module = MailModule.forRoot({ ...into(), name: 'cut', queue, metrics: { register: registry } });
    const app = await boot({ imports: [module] });
    const mail = app.get<MailService>(getMailToken('cut'));
    const people = (count: number) => Array.from({ length: count }, (_, n) => ({ to: `r${n}@x.test` }));
    async function* interrupted() {
      yield* people(150);
      throw new Error('The cursor is lost');
    }
    const campaign = { id: 'cut', subject: 'x', text: 'x' };
    const queued = async () =>
      samples(await scrape(registry), 'mail_messages_total')[
        '{mailer="cut",lane="bulk",transport="",outcome="queued"}'
      ];
    const failure = mail.sendBulk({ ...campaign, recipients: interrupted() });
    await expect(failure).rejects.toMatchObject({ code: 'SOURCE_FAILED', queued: 100 });
    expect(await queued()).toBe(100);
    await mail.sendBulk({ ...campaign, recipients: people(170) });
    expect(await queued()).toBe(170);
    await app.close();
  });

  it('tell what waits when they are scraped, and of two mailers by their names', async () => {
    const mailer = (name?: string, lanes?: 'none') =>
      MailModule.forRoot({
        ...into(new Mailbox(name ?? 'box')),
        ...(name === undefined ? {} : { name }),
        queue: lanes === 'none' ? false : { connection: redis.url, worker: false },
        metrics: true,
      });
    const app = await boot({ imports: [mailer(), mailer('news'), mailer('now', 'none')] });
    const news = app.get<MailService>(getMailToken('news'));
    const bulk = { lane: 'bulk', to: 'ann@x.test', subject: 'x', text: 'x' } as const;
    await Promise.all([news.send(bulk), news.send({ ...bulk, delay: '1h' }), app.get(MailService).send(bulk)]);
    await news.pause();
    const all = await scrape(register);
    expect(samples(all, 'mail_queue_batches')).toEqual({
      '{mailer="default",state="waiting"}': 1,
      '{mailer="default",state="delayed"}': 0,
      '{mailer="default",state="active"}': 0,
      '{mailer="default",state="set_aside"}': 0,
      '{mailer="news",state="waiting"}': 1,
      '{mailer="news",state="delayed"}': 1,
      '{mailer="news",state="active"}': 0,
      '{mailer="news",state="set_aside"}': 0,
    });
    expect(samples(all, 'mail_queue_paused')).toEqual({ '{mailer="default"}': 0, '{mailer="news"}': 1 });
    expect(samples(all, 'mail_queue_up')).toEqual({ '{mailer="default"}': 1, '{mailer="news"}': 1 });
    expect(all.get('mail_queue_oldest_waiting_seconds{mailer="news"}')).toBeGreaterThanOrEqual(0);
    expect(
      Object.keys(samples(all, 'mail_transport_circuit')).filter((labels) => labels.includes('open"')),
    ).toHaveLength(6);

    const other = await boot({ imports: [mailer('other')] });
    await app.close();
    expect(Object.keys(samples(await scrape(register), 'mail_queue_up'))).toEqual(['{mailer="other"}']);
    await redis.stop();
    const away = await scrape(register);
    expect(samples(away, 'mail_queue_up')).toEqual({ '{mailer="other"}': 0 });
    expect(samples(away, 'mail_queue_batches')).toEqual({});
    await other.close();
    expect(register.getMetricsAsArray()).toEqual([]);
  });
});

describe('the metrics option', () => {
  it('count what is sent before the application has booted', async () => {
    const registry = new Registry();
    @Injectable()
    class Early implements OnModuleInit {
      constructor(private readonly mail: MailService) {}
      async onModuleInit(): Promise<void> {
        await this.mail.send({ to: 'ann@x.test', subject: 'x', text: 'x' });
      }
    }
    const mailer = MailModule.forRoot({ ...into(), metrics: { register: registry } });
    await boot({ imports: [mailer], providers: [Early] });
    expect(Object.values(samples(await scrape(registry), 'mail_messages_total'))).toEqual([1]);
  });

  it('puts nothing on a register by default', async () => {
    await boot({ imports: [MailModule.forRoot(into())] });
    expect(register.getMetricsAsArray()).toEqual([]);
  });

  it('ends the boot when a name is taken, and leaves nothing on the register', async () => {
    const registry = new Registry();
    new Counter({ name: 'mail_queue_up', help: 'x', registers: [registry] });
    await expect(
      boot({ imports: [MailModule.forRoot({ ...into(), metrics: { register: registry } })] }),
    ).rejects.toThrow(/has a metric mail_queue_up .* Give metrics\.prefix/);
    expect(registry.getMetricsAsArray()).toHaveLength(1);
  });

  it.each([
    [1, /metrics is 1\. Give true/],
    [{ prefix: '1_' }, /metrics\.prefix is "1_"/],
    [{ register: {} }, /metrics\.register is an object\. Give a Registry/],
    [{ buckets: [] }, /metrics\.buckets is an empty list/],
    [{ buckets: [2, 1] }, /metrics\.buckets is a list/],
    [{ registry: 1 }, /metrics\.registry is not known/],
  ])('refuses %j', (metrics, message) => {
    expect(() => parse({ queue: false, metrics })).toThrow(MailConfigError);
    expect(() => parse({ queue: false, metrics })).toThrow(message);
  });

  it('is off with false', () => expect(parse({ metrics: false }).metrics).toBeUndefined());
});
