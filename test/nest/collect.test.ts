import { getQueueToken } from '@nestjs/bullmq';
import { Inject, Injectable, type Provider } from '@nestjs/common';
import type { Queue } from 'bullmq';
import { text } from 'node:stream/consumers';
import { Redis } from 'ioredis';
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { MailConfigError, MailError, MailQueueUnavailableError } from '../../src/errors.js';
import type { MailEvents } from '../../src/events/events.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { MailService } from '../../src/nest/mail.service.js';
import { MailWorker } from '../../src/nest/mail-worker.js';
import { OnMail } from '../../src/nest/on-mail.js';
import type { CollectConfig } from '../../src/nest/options/types.js';
import type { Batch } from '../../src/queue/batch.js';
import { Flusher } from '../../src/queue/flush.js';
import { Once } from '../../src/queue/once.js';
import { startMail, type MailApp } from '../support/app.js';
import { attachmentsOf, blobsIn } from '../support/attachment-stores.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { startRedis, type RedisServer } from '../support/redis.js';

let redis: RedisServer;
let client: Redis;
let app: MailApp;
let mail: MailService;
let mailbox: Mailbox;

beforeAll(async () => {
  redis = await startRedis();
  client = new Redis(redis.url);
  atEnd(() => client.disconnect());
});
afterEach(async () => {
  await app.close();
  await client.flushall();
});

async function start(collect?: CollectConfig, providers: Provider[] = []): Promise<void> {
  mailbox = new Mailbox();
  app = await startMail({
    transports: [mailbox],
    queue: { connection: redis.url, worker: false },
    providers,
    ...(collect ? { collect } : {}),
  });
  mail = app.mail;
  await mail.queue();
}

const news = (n: number, more = {}) => ({ lane: 'bulk', to: `r${n}@readers.test`, subject: `${n}`, ...more }) as const;
const batches = async (): Promise<Batch[]> => {
  const jobs = await app.context.get<Queue>(getQueueToken('mail')).getJobs(['prioritized', 'wait', 'delayed']);
  return jobs.map(({ data }) => data as Batch);
};
const queued = async (): Promise<string[]> =>
  (await batches()).flatMap(({ items }) => items.map(({ subject = '' }) => subject)).sort();
/** Calls of a command since Redis was started. */
const calls = async (command: string): Promise<number> =>
  Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await client.info('commandstats'))?.[1] ?? 0);
const boom = async (): Promise<never> => Promise.reject(new Error('boom'));

describe('a collection', () => {
  it('is queued in one round trip when the work has succeeded, under the ids that its receipts have', async () => {
    await start();
    let before = 0;
    const receipts = await mail.collect(async () => {
      const sent = [];
      for (let n = 0; n < 600; n++) sent.push(await mail.send(news(n, n % 2 ? { replyTo: 'two@shop.test' } : {})));
      expect(await mail.status(sent[0]!.id)).toBeUndefined();
      expect(await queued()).toEqual([]);
      before = await calls('exec');
      return sent;
    });
    expect((await calls('exec')) - before).toBe(1);
    expect((await batches()).map(({ items }) => items.length).sort()).toEqual([250, 250, 50, 50]);
    for (const n of [0, 1, 599]) {
      const { status, id, messageId, lane } = receipts[n]!;
      expect({ status, lane }).toEqual({ status: 'collected', lane: 'bulk' });
      expect(await mail.status(id)).toMatchObject({
        messageId,
        state: 'queued',
        recipients: [{ address: `r${n}@readers.test` }],
      });
    }
  });

  it('is discarded when the work fails, unless it is to be flushed then too', async () => {
    await start();
    const fails = async (): Promise<void> => {
      await mail.send(news(1));
      await boom();
    };
    await expect(mail.collect(fails)).rejects.toThrow('boom');
    expect(await queued()).toEqual([]);
    await expect(mail.collect(fails, { onError: 'flush' })).rejects.toThrow('boom');
    expect(await queued()).toEqual(['1']);
    await app.close();
    await start({ onError: 'flush' });
    await expect(mail.collect(fails)).rejects.toThrow('boom');
    expect(await queued()).toEqual(['1', '1']);
    await expect(mail.collect(fails, { onError: 'discard' })).rejects.toThrow('boom');
    expect(await queued()).toEqual(['1', '1']);
  });

  it('takes in those that are inside it, also what was sent by one that failed', async () => {
    await start();
    await mail.collect(async () => {
      await mail.collect(() => mail.send(news(1)));
      const failed = mail.collect(async () => {
        await mail.send(news(2));
        await boom();
      });
      await expect(failed).rejects.toThrow('boom');
      expect(await queued()).toEqual([]);
    });
    expect(await queued()).toEqual(['1', '2']);
  });

  it('leaves priority mail and campaigns alone', async () => {
    await start();
    await mail.collect(async () => {
      expect(await mail.send({ to: 'a@mail.test', subject: 'now' })).toMatchObject({ status: 'sent' });
      await mail.sendBulk({ subject: 'all', recipients: [{ to: 'b@mail.test' }] });
      expect(await batches()).toHaveLength(1);
    });
  });

  it('has what was sent before it closed, awaited or not; later mail is queued at once', async () => {
    await start();
    let later: Promise<unknown> | undefined;
    let begin = (): void => undefined;
    await mail.collect(() => {
      void mail.send(news(1));
      later = new Promise<void>((resolve) => (begin = resolve)).then(() => mail.send(news(2)));
    });
    expect(await queued()).toEqual(['1']);
    begin();
    await expect(later).resolves.toMatchObject({ status: 'queued' });
    expect(await queued()).toEqual(['1', '2']);
  });

  it('is validated at once', async () => {
    await start();
    await mail.collect(async () => {
      await expect(mail.send(news(1, { to: 'nobody' }))).rejects.toMatchObject({ code: 'INVALID' });
      await expect(mail.send(news(1, { transport: 'none' }))).rejects.toBeInstanceOf(MailError);
    });
    expect(await queued()).toEqual([]);
  });

  it('is full at collect.max and collect.maxBytes, and keeps what it has', async () => {
    await start({ max: 2, maxBytes: 2_500 });
    const full = { code: 'COLLECTION_FULL', message: expect.stringContaining('sendBulk()') as string };
    await mail.collect(async () => {
      await mail.send(news(1));
      await mail.send(news(2));
      await expect(mail.send(news(3))).rejects.toMatchObject(full);
    });
    await mail.collect(async () => {
      await mail.send(news(4, { text: '가'.repeat(600), attachments: [{ content: Buffer.alloc(10_000) }] }));
      await expect(mail.send(news(5, { html: '가'.repeat(50) }))).rejects.toMatchObject(full);
    });
    expect(await queued()).toEqual(['1', '2', '4']);
  });

  it('counts headers, subjects and recipients, and of attachments what is not in the store', async () => {
    await start({ maxBytes: 20_000 });
    const attachments = [{ filename: 'a.pdf', content: Buffer.alloc(100_000) }];
    await mail.collect(async () => {
      for (let n = 0; n < 5; n++) await mail.send(news(n, { attachments }));
      await mail.send(news(5, { attachments, idempotencyKey: 'five' }));
    });
    expect(await queued()).toHaveLength(6);
    const more = [
      { headers: { 'X-Long': 'x'.repeat(900) } },
      { subject: 'x'.repeat(900) },
      { cc: Array.from({ length: 50 }, (_, n) => `a-long-local-part-${n}@readers.test`) },
    ];
    for (const large of more) {
      const sends = async (): Promise<void> => {
        for (let n = 0; n < 25; n++) await mail.send(news(n, large));
      };
      await expect(mail.collect(sends), Object.keys(large)[0]).rejects.toMatchObject({ code: 'COLLECTION_FULL' });
    }
  });

  it('has the attachments that there were at send(), whatever becomes of their buffers', async () => {
    await start();
    const content = Buffer.from('before');
    const attachments = [{ filename: 'a.txt', content }];
    await mail.collect(async () => {
      await mail.send(news(1, { attachments }));
      await mail.send(news(2, { attachments, idempotencyKey: 'two' }));
      content.write('after!');
      await mail.send(news(3, { attachments }));
    });
    const names = new Map(
      (await batches()).map(({ items, shared }) => [items[0]!.subject, shared.attachments[0]!.blob]),
    );
    expect(names.get('2')).toBe(names.get('1'));
    const stored = async (subject: string): Promise<string> =>
      text((await attachmentsOf(redis.url).read(names.get(subject)!))!);
    expect([await stored('1'), await stored('3')]).toEqual(['before', 'after!']);
  });

  it('claims a few idempotency keys at a time, and no more when the store is away', async () => {
    await start();
    let most = 0;
    let begun = 0;
    let open = 0;
    let fails = false;
    const run = vi.spyOn(Once.prototype, 'run').mockImplementation(async () => {
      most = Math.max(most, ++open);
      begun++;
      await new Promise(setImmediate);
      open--;
      if (fails) throw new MailQueueUnavailableError('away', { outcome: 'not-sent' });
    });
    onTestFinished(() => run.mockRestore());
    const ids: string[] = [];
    const collected = (): Promise<void> =>
      mail.collect(async () => {
        for (let n = 0; n < 250; n++) ids.push((await mail.send(news(n, { idempotencyKey: `${n}` }))).id);
      });
    await collected();
    expect({ begun, most }).toEqual({ begun: 250, most: 100 });
    fails = true;
    ids.length = 0;
    await expect(collected()).rejects.toMatchObject({ ids: expect.arrayContaining(ids) as string[] });
    expect(begun).toBe(350);
  });

  it('tells which of its messages are queued, also when a part of it could not be', async () => {
    const heard: string[] = [];
    class Listener {
      @OnMail('queued') queued({ id }: MailEvents['queued']): void {
        heard.push(id);
      }
    }
    await start(undefined, [Listener]);
    const { flush } = Flusher.prototype as unknown as {
      flush: (this: unknown, part: readonly Batch[]) => Promise<void>;
    };
    const spy = vi.spyOn(Flusher.prototype, 'flush').mockImplementation(function (this: Flusher, part) {
      if (part.every(({ items }) => items[0]!.subject !== '0')) return flush.call(this, part);
      return Promise.reject(new MailQueueUnavailableError('away', { outcome: 'not-sent' }));
    });
    onTestFinished(() => spy.mockRestore());
    const html = 'x'.repeat(2_000_000);
    const ids: string[] = [];
    const collected = mail.collect(async () => {
      for (let n = 0; n < 3; n++) ids.push((await mail.send(news(n, { html }))).id);
    });
    const error = (await collected.catch((reason: unknown) => reason)) as MailQueueUnavailableError;
    expect(error.ids).toEqual(ids.slice(0, 2));
    expect(heard).toEqual([ids[2]]);
  });

  it('has nothing that a listener sends who was called in the middle of it', async () => {
    @Injectable()
    class Alerts {
      status: Promise<{ status: string }> | undefined;
      constructor(@Inject(MailService) private readonly mail: MailService) {}

      @OnMail('sent') sent(): void {
        this.status = this.mail.send({ lane: 'bulk', to: 'ops@shop.test', subject: 'alert' });
      }
    }
    await start(undefined, [Alerts]);
    const fails = mail.collect(async () => {
      await mail.send({ to: 'a@mail.test', subject: 'now' });
      await app.context.get(Alerts).status;
      await boom();
    });
    await expect(fails).rejects.toThrow('boom');
    expect(await app.context.get(Alerts).status).toMatchObject({ status: 'queued' });
    expect(await queued()).toEqual(['alert']);
  });

  it('has nothing that is sent in a run of the worker that was started in it', async () => {
    mailbox = new Mailbox();
    let inside: Promise<{ status: string }> | undefined;
    app = await startMail({
      transports: [mailbox],
      queue: { connection: redis.url, worker: { autorun: false } },
      intercept: ({ subject }) => {
        if (subject === '1') inside = app.mail.send(news(2));
        return undefined;
      },
    });
    mail = app.mail;
    await mail.send(news(1));
    await mail.collect(() => app.context.get(MailWorker).runUntil({ deadline: '10s' }));
    expect(await inside).toMatchObject({ status: 'queued' });
  });

  it('refuses an onError that there is not before it does anything', async () => {
    await start();
    const work = vi.fn();
    await expect(mail.collect(work, { onError: 'flsh' as 'flush' })).rejects.toThrow(MailConfigError);
    await expect(mail.collect(work, { onError: 'flsh' as 'flush' })).rejects.toThrow('"flsh"');
    expect(work).not.toHaveBeenCalled();
  });

  it('goes to the store in several parts when it is large', async () => {
    await start();
    const before = await calls('exec');
    const html = 'x'.repeat(1_000_000);
    await mail.collect(async () => {
      for (let n = 0; n < 5; n++) await mail.send(news(n, { html }));
    });
    expect((await calls('exec')) - before).toBeGreaterThan(1);
    expect(await queued()).toHaveLength(5);
  });

  it('puts attachments into the store as they come, each once, also when nothing is queued after all', async () => {
    await start();
    const attachments = [{ filename: 'a.txt', content: 'attached' }];
    const blobs = (): Promise<string[]> => blobsIn(attachmentsOf(redis.url));
    const before = await blobs();
    await expect(mail.collect(() => mail.send(news(1, { attachments })).then(boom))).rejects.toThrow('boom');
    expect(await blobs()).toHaveLength(before.length + 1);
    await mail.collect(async () => {
      await mail.send(news(2, { attachments }));
      await mail.send(news(3, { attachments }));
    });
    expect(await blobs()).toHaveLength(before.length + 1);
    expect(await batches()).toMatchObject([{ items: [{}, {}], shared: { attachments: [{ filename: 'a.txt' }] } }]);
  });

  it('queues what has an idempotency key once', async () => {
    await start();
    const earlier = await mail.send(news(1, { idempotencyKey: 'one' }));
    const receipts = await mail.collect(() =>
      Promise.all(['one', 'two', 'two'].map((idempotencyKey, n) => mail.send(news(n + 1, { idempotencyKey })))),
    );
    expect(receipts.map(({ status }) => status)).toEqual(['collected', 'collected', 'collected']);
    expect(receipts[0]).toMatchObject({ id: earlier.id, messageId: earlier.messageId });
    expect(await queued()).toEqual(['1', '2']);
    expect(await mail.status(receipts[2]!.id)).toMatchObject({ state: 'queued' });
  });

  it('fails what it is part of when the store is away, and names its messages', async () => {
    const other = await startRedis();
    mailbox = new Mailbox();
    app = await startMail({ transports: [mailbox], queue: { connection: other.url, worker: false } });
    await app.mail.send(news(0));
    await other.stop();
    const ids: string[] = [];
    const collected = app.mail.collect(async () => {
      for (const key of [undefined, 'a', undefined]) {
        ids.push((await app.mail.send(news(1, key === undefined ? {} : { idempotencyKey: key }))).id);
      }
    });
    const error = (await collected.catch((reason: unknown) => reason)) as MailQueueUnavailableError;
    expect(error).toBeInstanceOf(MailQueueUnavailableError);
    expect([...error.ids].sort()).toEqual(ids.sort());
  });

  it('is one of its own for each mailer', async () => {
    await start();
    const other = await startMail({
      transports: [new Mailbox()],
      queue: { connection: `${redis.url}/1`, worker: false },
    });
    await mail.collect(async () => {
      await expect(other.mail.send(news(1))).resolves.toMatchObject({ status: 'queued' });
      await other.mail.collect(async () => {
        await expect(other.mail.send(news(2))).resolves.toMatchObject({ status: 'collected' });
        await expect(mail.send(news(3))).resolves.toMatchObject({ status: 'collected' });
      });
      expect(await queued()).toEqual([]);
    });
    expect(await queued()).toEqual(['3']);
    await other.close();
  });
});

it('a collection that is discarded leaves nothing that is waited for', async () => {
  await start();
  await expect(mail.collect(() => mail.send(news(1)).then(boom))).rejects.toThrow('boom');
  await mail.send(news(2));
  await eventually(async () => expect(await queued()).toEqual(['2']));
});
