import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MailError } from '../../src/errors.js';
import type { RecipientInput } from '../../src/message/message.js';
import { keys } from '../../src/queue/keys.js';
import type { Store } from '../../src/store/store.js';
import { startMail, type MailApp } from '../support/app.js';
import { attachmentsOf, blobsIn } from '../support/attachment-stores.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { openQueueStore } from '../support/open-store.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';

const people = (prefix: string, count: number): RecipientInput[] =>
  Array.from({ length: count }, (_, n) => ({ to: `${prefix}${n}@readers.test` }));

describe('what goes wrong beside the mail servers', () => {
  let url: string;
  let smtp: TestSmtpServer;
  let app: MailApp;
  let store: Store;

  beforeAll(async () => {
    url = (await startRedis()).url;
    smtp = await startSmtpServer({
      onRcpt: (address) => (address.startsWith('grey') ? { code: 451, text: '4.7.1 greylisted' } : undefined),
    });
    app = await startMail({
      transports: [
        { name: 'main', url: smtp.url },
        { name: 'dead', url: `smtp://127.0.0.1:${await freePort()}` },
      ],
      queue: {
        connection: url,
        batch: { size: 10 },
        retry: { attempts: 2, firstPause: 50, maxPause: 50, greylistPause: 50 },
      },
    });
    store = await openQueueStore(url);
    await store.ready();
  });
  beforeEach(() => smtp.clear());

  it('settles a recipient that is deferred here while the next transport is dead', async () => {
    const { id } = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: [...people('a', 9), ...people('grey', 1), ...people('b', 20)],
    });
    await eventually(async () =>
      expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed', sent: 29, failed: 1 }),
    );
    for await (const failure of app.mail.failures(id)) {
      expect(failure).toMatchObject({ transport: 'main', replyCode: 451, attempts: 2 });
    }
  });

  it('loses nobody when a call that stood still goes on after another has taken its campaign over', async () => {
    let go: () => void = () => undefined;
    const stand = new Promise<void>((resolve) => (go = resolve));
    const message = { id: 'taken', subject: 'x', text: 'x' };
    async function* source(): AsyncGenerator<RecipientInput> {
      yield* people('early', 200);
      await stand;
      yield* people('late', 40);
    }
    const first = app.mail.sendBulk({ ...message, recipients: source() });
    await eventually(async () => expect((await app.mail.campaign('taken'))?.total).toBeGreaterThanOrEqual(190));
    // As if it had run out while that process was stopped.
    await store.records.delete([keys.producer('taken')]);
    await app.mail.sendBulk({ ...message, recipients: [...people('early', 200), ...people('new', 30)] });
    go();
    await first;
    await eventually(async () => expect((await app.mail.campaign('taken'))?.state).toBe('completed'));
    const served = new Set(smtp.received.flatMap(({ to }) => to));
    for (const { to } of [...people('early', 200), ...people('late', 40), ...people('new', 30)])
      expect(served).toContain(to);
  });

  it('keeps the batches of a campaign that can still be continued', async () => {
    const broken = function* (): Generator<RecipientInput> {
      yield* people('k', 170);
      throw new Error('cut');
    };
    const message = { id: 'kept', subject: 'x', text: 'x' };
    const cut = await app.mail.sendBulk({ ...message, recipients: broken() }).catch((error: MailError) => error);
    expect(cut).toMatchObject({ message: expect.stringContaining('cut') as string });
    expect(cut.queued).toBeGreaterThan(0);
    await eventually(() => expect(smtp.received).toHaveLength(cut.queued!));
    expect(await app.mail.clean({ state: 'sent', olderThan: 0 })).toBeGreaterThanOrEqual(0);
    await app.mail.sendBulk({ ...message, recipients: people('k', 200) });
    await eventually(async () =>
      expect(await app.mail.campaign('kept')).toMatchObject({ state: 'completed', sent: 200 }),
    );
    expect(smtp.received).toHaveLength(200);
  });

  it('waits for an attachment that is gone, and still lets go of what is cancelled', async () => {
    await app.mail.pause();
    const { id } = await app.mail.send({
      lane: 'bulk',
      to: 'a@readers.test',
      subject: 'x',
      attachments: [{ filename: 'a.txt', content: 'gone' }],
    });
    const place = attachmentsOf(url);
    await place.delete(await blobsIn(place));
    await app.mail.resume();
    const queue = app.context.get<Queue>(getQueueToken('mail'));
    await eventually(async () => expect((await queue.getJobCounts('delayed')).delayed).toBe(1));
    await eventually(async () => expect((await app.mail.status(id))?.state).toBe('queued'));
    expect(await app.mail.cancel(id)).toBe(true);
    await eventually(async () => expect((await app.mail.status(id))?.state).toBe('cancelled'));
    expect(smtp.received).toHaveLength(0);
  });

  it('does not let an onProgress that fails end the campaign or the process', async () => {
    const onProgress = (): Promise<void> => Promise.reject(new Error('the progress bar broke'));
    const receipt = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('p', 300), onProgress });
    expect(receipt.queued).toBe(300);
    await eventually(async () => expect((await app.mail.campaign(receipt.id))?.state).toBe('completed'));
  });

  it('reports the Message-ID that was sent, also of a merged sender', async () => {
    const receipt = await app.mail.sendBulk({
      from: 'news@{{domain}}',
      subject: 'x',
      text: 'x',
      recipients: [{ to: 'm@readers.test', context: { domain: 'acme.test' } }],
    });
    await eventually(() => expect(smtp.received).toHaveLength(1));
    const header = /^Message-ID: (.*)$/im.exec(smtp.received[0]!.raw.toString())![1];
    expect((await app.mail.status(`${receipt.id}-0.0`))?.messageId).toBe(header);
  });
});

it('holds a pause that was asked for before the embedded store existed', async () => {
  const smtp = await startSmtpServer();
  const app = await startMail({ smtp: smtp.url, queue: { connection: 'pglite://memory' } });
  const { mail } = app;
  await mail.pause();
  const { id } = await mail.send({ lane: 'bulk', to: 'a@readers.test', subject: 'x', text: 'x' });
  expect(await mail.queue()).toMatchObject({ paused: true, batches: { waiting: 1 } });
  await mail.resume();
  await eventually(async () => expect((await mail.status(id))?.state).toBe('sent'));
  await app.close();
});
