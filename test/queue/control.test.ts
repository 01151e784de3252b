import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryQueue } from '../support/stores.js';

onEveryQueue((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let queue: Queue;
  /** Messages wait here, so that a campaign can be looked at half done. */
  let gate: Promise<void>;
  let open: () => void;

  beforeAll(async () => {
    smtp = await startSmtpServer({
      onData: async ({ to }) => {
        if (to[0]!.startsWith('held')) await gate;
        return to[0]!.startsWith('bad') ? { code: 554, text: '5.7.1 refused' } : undefined;
      },
    });
    app = await startMail({
      transports: [{ name: 'main', url: smtp.url, maxConnections: 2 }],
      queue: { connection: await store.create(), worker: { batches: 1 }, batch: { size: 10 } },
    });
    queue = app.context.get<Queue>(getQueueToken('mail'));
  });
  beforeEach(() => {
    smtp.clear();
    gate = new Promise((resolve) => (open = resolve));
  });

  /** Until the worker has looked up what was decided about its batch, in a look that began after this call. */
  const workerLooks = async (): Promise<void> => {
    const looks = vi.spyOn(queue, 'isPaused');
    await eventually(() => looks.mock.calls.length >= 2);
    looks.mockRestore();
  };
  const people = (prefix: string, count: number): { to: string }[] =>
    Array.from({ length: count }, (_, n) => ({ to: `${prefix}${n}@readers.test` }));
  const bulk = (to: string, more = {}): Promise<{ id: string }> =>
    app.mail.send({ lane: 'bulk', to, subject: 'x', text: 'x', ...more });
  const stateOf = async (id: string): Promise<string | undefined> => (await app.mail.status(id))?.state;
  const campaignIs = (id: string, expected: object): Promise<void> =>
    eventually(async () => expect(await app.mail.campaign(id)).toMatchObject(expected));
  const all = async (statuses: AsyncIterable<MailStatus>): Promise<MailStatus[]> => {
    const found: MailStatus[] = [];
    for await (const status of statuses) found.push(status);
    return found;
  };

  it('shows a campaign while it runs: what was sent, what is being sent, what remains', async () => {
    const recipients = [...people('a', 8), ...people('held', 2), ...people('b', 15)];
    const { id } = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients });
    await campaignIs(id, { state: 'running', total: 25, sent: 8, queued: 17 });
    expect(await stateOf(`${id}-0.0`)).toBe('sent');
    expect(await stateOf(`${id}-0.9`)).toBe('sending');
    expect(await stateOf(`${id}-2.4`)).toBe('queued');
    expect((await all(app.mail.remaining(id))).map((status) => status.recipients[0]!.address)).toEqual(
      recipients.slice(8).map(({ to }) => to),
    );
    expect(await app.mail.queue()).toMatchObject({
      batches: { active: 1, waiting: 2 },
      oldestWaiting: expect.any(Date) as Date,
    });
    open();
    await campaignIs(id, { state: 'completed', sent: 25 });
    expect(await all(app.mail.remaining(id))).toEqual([]);
  });

  it('pauses and resumes one campaign while others go on', async () => {
    const { id } = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: [...people('held', 2), ...people('p', 38)],
    });
    await eventually(async () => expect((await app.mail.queue()).batches.active).toBe(1));
    await app.mail.pause(id);
    await campaignIs(id, { state: 'paused' });
    open();
    await eventually(async () => expect(await app.mail.queue()).toMatchObject({ batches: { active: 0, waiting: 0 } }));
    expect((await app.mail.campaign(id))?.queued).toBeGreaterThanOrEqual(30);
    const before = smtp.received.length;
    const other = await bulk('other@readers.test');
    await eventually(async () => expect(await stateOf(other.id)).toBe('sent'));
    expect(smtp.received).toHaveLength(before + 1);
    await app.mail.resume(id);
    await campaignIs(id, { state: 'completed', sent: 40 });
    expect(smtp.received).toHaveLength(41);
  });

  it('pauses and resumes the whole lane', async () => {
    await app.mail.pause();
    const { id } = await bulk('paused@readers.test');
    expect(await app.mail.queue()).toMatchObject({ paused: true, batches: { waiting: 1 } });
    expect(await app.mail.send({ to: 'priority@readers.test', subject: 'x', text: 'x' })).toMatchObject({
      status: 'sent',
    });
    expect(await stateOf(id)).toBe('queued');
    await app.mail.resume();
    await eventually(async () => expect(await stateOf(id)).toBe('sent'));
  });

  it('cancels a message that waits, and says so when it is too late', async () => {
    const waiting = await bulk('scheduled@readers.test', { delay: '1h' });
    expect(await app.mail.cancel(waiting.id)).toBe(true);
    expect(await stateOf(waiting.id)).toBe('cancelled');
    expect(await app.mail.cancel(waiting.id)).toBe(false);
    const sent = await bulk('sent@readers.test');
    await eventually(async () => expect(await stateOf(sent.id)).toBe('sent'));
    expect(await app.mail.cancel(sent.id)).toBe(false);
    expect(await app.mail.cancel('m_unknown.0')).toBe(false);
    expect(await app.mail.cancel('unknown')).toBe(false);
  });

  it('cancels a message of a batch that is being delivered', async () => {
    const { id } = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: [...people('held', 2), ...people('c', 8)],
    });
    await eventually(async () => expect(await stateOf(`${id}-0.0`)).toBe('sending'));
    const asked = vi.spyOn(queue, 'getJob');
    const cancelled = app.mail.cancel(`${id}-0.7`);
    // It reads the batch, marks the message, and then asks again and again what became of it.
    await eventually(() => asked.mock.calls.length >= 2);
    asked.mockRestore();
    await workerLooks();
    open();
    expect(await cancelled).toBe(true);
    await campaignIs(id, { state: 'completed', sent: 9, cancelled: 1 });
    expect(smtp.received.map(({ to }) => to[0])).not.toContain('c5@readers.test');
  });

  it('cancels a campaign: what was sent stays sent, the rest never leaves', async () => {
    const { id } = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: [...people('held', 2), ...people('k', 38)],
    });
    await eventually(async () => expect((await app.mail.queue()).batches.active).toBe(1));
    expect(await app.mail.cancel(id)).toBe(true);
    await campaignIs(id, { state: 'cancelled', cancelled: 40 });
    await workerLooks();
    open();
    await eventually(async () =>
      expect(await app.mail.queue()).toMatchObject({ batches: { active: 0, waiting: 0, delayed: 1 } }),
    );
    const report = await app.mail.campaign(id);
    expect(report!.sent + report!.cancelled).toBe(40);
    expect(report!.sent).toBe(smtp.received.length);
    expect(await app.mail.cancel(id)).toBe(false);
  });

  it('drains what waits and keeps the answer for each', async () => {
    await app.mail.pause();
    const single = await bulk('drained@readers.test');
    const scheduled = await bulk('drained-later@readers.test', { delay: '1h' });
    const { id } = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('d', 25) });
    expect(await app.mail.drain()).toBe(27);
    expect(await stateOf(single.id)).toBe('cancelled');
    expect(await stateOf(scheduled.id)).toBe('cancelled');
    expect(await app.mail.campaign(id)).toMatchObject({ state: 'cancelled', cancelled: 25 });
    await app.mail.resume();
    await eventually(async () => expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 0, active: 0 } }));
    expect(smtp.received).toHaveLength(0);
    expect(await stateOf(single.id)).toBe('cancelled');
  });

  it('lists failures with the server’s words, and cleans finished batches', async () => {
    const { id } = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: [...people('good', 3), ...people('bad', 2)],
    });
    await campaignIs(id, {
      state: 'completed',
      sent: 3,
      failed: 2,
      lastError: expect.stringContaining('5.7.1 refused') as string,
    });
    expect(await all(app.mail.failures(id))).toMatchObject(
      people('bad', 2).map(({ to }) => ({
        state: 'failed',
        replyCode: 554,
        enhancedCode: '5.7.1',
        transport: 'main',
        recipients: [{ address: to }],
      })),
    );
    const { id: mailId } = await bulk('clean@readers.test');
    await eventually(async () => expect(await stateOf(mailId)).toBe('sent'));
    expect(await app.mail.clean({ state: 'sent', olderThan: '1h' })).toBe(0);
    expect(await app.mail.clean({ state: 'sent', olderThan: 0 })).toBeGreaterThan(0);
    expect(await stateOf(mailId)).toBeUndefined();
    expect(await all(app.mail.failures(id))).toHaveLength(2);
    expect(await app.mail.clean({ state: 'failed', olderThan: 0 })).toBeGreaterThanOrEqual(2);
    expect(await app.mail.campaign(id)).toMatchObject({ sent: 3, failed: 2 });
  });

  it('a campaign that is held can be cancelled, and its batches are put away', async () => {
    const before = (await app.mail.queue()).batches.delayed;
    const { id } = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('held', 25) });
    await eventually(async () => expect((await app.mail.queue()).batches.active).toBe(1));
    await app.mail.pause(id);
    await workerLooks();
    open();
    await eventually(async () => expect((await app.mail.queue()).batches.delayed).toBe(before + 3));
    expect(await app.mail.cancel(id)).toBe(true);
    await eventually(async () => {
      expect((await app.mail.queue()).batches).toMatchObject({ waiting: 0, delayed: before, active: 0 });
    });
    expect((await app.mail.campaign(id))?.state).toBe('cancelled');
  });
});
