import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, expect, it } from 'vitest';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';

const from = { name: '', address: 'a@shop.test' };
const shared = { from, replyTo: [], headers: [], cc: [], bcc: [], attachments: [], subject: 'x', text: 'x' };
const good = { to: [{ name: '', address: 'good@readers.test' }] };

const BAD: [what: string, data: object, reason: RegExp][] = [
  ['is no batch', { hello: 'world' }, /malformed/],
  ['is empty', { v: 1, id: 'x', createdAt: 1, urgency: 'low', shared, items: [] }, /empty/],
  [
    'has one item without recipients',
    { v: 2, id: 'x', createdAt: 1, urgency: 'low', shared, items: [good, { to: null }] },
    /item 1/,
  ],
  [
    'has an attachment list that is none',
    { v: 1, id: 'x', createdAt: 1, shared: { ...shared, attachments: 7 }, items: [good] },
    /malformed/,
  ],
  [
    'is of a newer version',
    { v: 6, id: 'x', createdAt: 1, urgency: 'low', shared, items: [good] },
    /version 6.*reads up to 5/,
  ],
];

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let queue: Queue;

  beforeAll(async () => {
    smtp = await startSmtpServer();
    app = await startMail({ smtp: smtp.url, queue: { connection: await store.create() } });
    queue = app.context.get<Queue>(getQueueToken('mail'));
    // Opens an embedded store.
    await app.mail.send({ lane: 'bulk', to: 'first@readers.test', subject: 'x', text: 'x' });
    await eventually(() => expect(smtp.received).toHaveLength(1));
  });

  it.each(BAD)(
    'sets a batch aside that %s: with the reason, not lost, nothing of it delivered',
    async (_, data, reason) => {
      const job = await queue.add('campaign', data, {
        jobId: `bad-${BAD.findIndex((row) => row[1] === data)}`,
        attempts: 1_000,
      });
      await eventually(async () => expect(await job.getState()).toBe('failed'));
      const kept = await queue.getJob(job.id!);
      expect(kept?.failedReason).toMatch(reason);
      expect(kept?.data).toEqual(data);
      expect(smtp.received).toHaveLength(1);
      expect((await app.mail.queue()).batches.setAside).toBeGreaterThan(0);
    },
  );

  it('goes on with the batches after it', async () => {
    const receipt = await app.mail.send({ lane: 'bulk', to: 'next@readers.test', subject: 'x', text: 'x' });
    await eventually(async () => expect((await app.mail.status(receipt.id))?.state).toBe('sent'));
  });
});
