import { dirname } from 'node:path';
import { BullModule, getQueueToken, InjectQueue, Processor, WorkerHost } from '@nestjs/bullmq';
import { Injectable, type DynamicModule, type INestApplicationContext } from '@nestjs/common';
import type { Job, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MailModule, type MailModuleRootOptions } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { pgliteFolder } from '../support/pglite.js';
import { startRedis } from '../support/redis.js';
import { boot, moduleOf } from './boot.js';

let redis: Redis;
let connection: { host: string; port: number };

beforeAll(async () => {
  const { url, port } = await startRedis();
  redis = new Redis(url);
  connection = { host: '127.0.0.1', port };
  atEnd(() => redis.quit());
});

beforeEach(async () => {
  await redis.flushall();
});

const hello = { lane: 'bulk', to: 'ann@mail.test', subject: 'Hello', text: 'Hello' } as const;

/** A mailer whose queue nobody works on, unless it is told so. */
function mailer(options: Partial<MailModuleRootOptions> = {}, mailbox = new Mailbox()): DynamicModule {
  const queue = { worker: false, ...(options.queue || {}) } as const;
  return MailModule.forRoot({ from: 'shop@shop.test', transports: [mailbox], ...options, queue });
}

const queueOf = (app: INestApplicationContext, name = 'mail') => app.get<Queue>(getQueueToken(name), { strict: false });
const queuesInRedis = async () => (await redis.keys('bull:*:meta')).map((key) => key.split(':')[1]).sort();

describe('@InjectQueue', () => {
  it.each([
    ['Redis', () => `redis://${connection.host}:${connection.port}`],
    ['the embedded store', async () => `pglite://${dirname(await pgliteFolder())}`],
  ])("gives the mailer's BullMQ queue on %s", async (_, url) => {
    @Injectable()
    class Dashboard {
      constructor(
        @InjectQueue('mail') readonly mail: Queue,
        @InjectQueue('mail-news') readonly news: Queue,
      ) {}
    }
    const modules = [
      mailer({ queue: { connection: await url() } }),
      mailer({ name: 'news', queue: { connection: `redis://${connection.host}:${connection.port}` } }),
    ];
    const app = await boot({ imports: modules, providers: [Dashboard] });
    const { mail, news } = app.get(Dashboard);
    expect([mail.name, news.name]).toEqual(['mail', 'mail-news']);
    await app.get(MailService).send(hello);
    const [job] = await mail.getJobs(['waiting', 'prioritized']);
    expect(job?.queueName).toBe('mail');
    expect(await mail.getJobCountByTypes('waiting', 'prioritized')).toBe(1);
  });
});

describe("the application's own BullModule configuration", () => {
  it.each<[string, () => DynamicModule, Partial<MailModuleRootOptions>]>([
    ['shared', () => BullModule.forRoot({ connection }), {}],
    ['shared and a URL', () => BullModule.forRoot({ connection: { url: `redis://127.0.0.1:${connection.port}` } }), {}],
    ['shared and an ioredis instance', () => BullModule.forRoot({ connection: redis }), {}],
    [
      'shared and made by a factory',
      () => BullModule.forRootAsync({ useFactory: () => Promise.resolve({ connection }) }),
      {},
    ],
    ['named', () => BullModule.forRoot('other', { connection }), { queue: { configKey: 'other' } }],
    [
      'named and made by a factory',
      () => BullModule.forRootAsync('other', { useFactory: () => Promise.resolve({ connection }) }),
      { queue: { configKey: 'other' } },
    ],
  ])('that is %s tells where the queue is', async (_, host, options) => {
    const app = await boot({ imports: [host(), mailer(options)] });
    await app.get(MailService).send(hello);
    expect(await queuesInRedis()).toEqual(['mail']);
    expect(await queueOf(app).getJobCountByTypes('waiting', 'prioritized')).toBe(1);
  });

  it('is found by a mailer whose own options come from a factory, whichever is imported first', async () => {
    const late = MailModule.forRootAsync({
      useFactory: () =>
        Promise.resolve({
          from: 'a@shop.test',
          transports: [new Mailbox()],
          queue: { worker: false, configKey: 'other' },
        }),
    });
    const host = BullModule.forRootAsync('other', { useFactory: () => Promise.resolve({ connection }) });
    for (const imports of [
      [late, host],
      [host, late],
    ]) {
      const app = await boot({ imports });
      await app.get(MailService).send(hello);
      expect(await queuesInRedis()).toEqual(['mail']);
      await app.close();
      await redis.flushall();
    }
  });

  it('gives way to the connection of the mailer', async () => {
    const host = BullModule.forRoot({ connection });
    const app = await boot({
      imports: [host, mailer({ queue: { connection: `redis://127.0.0.1:${connection.port}/5` } })],
    });
    await app.get(MailService).send(hello);
    expect(await queueOf(app).getJobCountByTypes('waiting', 'prioritized')).toBe(1);
    expect(await queuesInRedis()).toEqual([]);
  });

  it('that nobody registered ends the boot', async () => {
    const booting = boot({ imports: [BullModule.forRoot({ connection }), mailer({ queue: { configKey: 'other' } })] });
    await expect(booting).rejects.toThrow(`The mail option queue.configKey is "other". Register that configuration`);
  });
});

describe("the application's own queues", () => {
  it('work undisturbed side by side with the mail queue', async () => {
    const done: string[] = [];

    @Processor('thumbnails')
    class Thumbnails extends WorkerHost {
      process(job: Job<{ file: string }>): Promise<void> {
        done.push(job.data.file);
        return Promise.resolve();
      }
    }
    @Injectable()
    class Uploads {
      constructor(@InjectQueue('thumbnails') readonly queue: Queue) {}
    }

    const mailbox = new Mailbox();
    const own = moduleOf({
      imports: [BullModule.registerQueue({ name: 'thumbnails' })],
      providers: [Thumbnails, Uploads],
    });
    const mail = MailModule.forRoot({ from: 'shop@shop.test', transports: [mailbox] });
    const app = await boot({ imports: [BullModule.forRoot({ connection }), own, mail] });

    const { queue } = app.get(Uploads, { strict: false });
    const files = Array.from({ length: 20 }, (_, index) => `${index}.png`);
    const recipients = files.map((_, index) => ({ to: `u${index}@mail.test` }));
    await Promise.all([
      queue.addBulk(files.map((file) => ({ name: 'thumbnail', data: { file } }))),
      app.get(MailService).sendBulk({ subject: 'Hi', text: 'Hi', recipients }),
    ]);
    await eventually(() => done.length === 20 && mailbox.received.length === 20);
    expect([...done].sort()).toEqual([...files].sort());
    expect(await queuesInRedis()).toEqual(['mail', 'thumbnails']);
    expect(await queue.getJobCountByTypes('completed')).toBe(20);
    expect(await queueOf(app).getJobCountByTypes('completed')).toBe(1);

    // Nothing global was switched over: the application's queue is what it would be without the mailer.
    expect(queue.constructor).not.toBe(queueOf(app).constructor);
    await app.close();
    expect(await redis.llen('bull:thumbnails:active')).toBe(0);
  });
});
