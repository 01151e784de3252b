import { beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { MailDeliveryError } from '../../src/errors.js';
import { keyedId } from '../../src/message/ids.js';
import type { MailMessageInput } from '../../src/message/message.js';
import { MailHealthIndicator } from '../../src/nest/mail-health.js';
import type { MailReceipt } from '../../src/nest/sender.js';
import { BREAKER } from '../../src/transport/breaker.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

// A provider that is back is soon found to be, however often it was away.
Object.assign(BREAKER, { firstPause: 200, maxPause: 200 });

onEveryStore((store) => {
  /** The priority lane's only provider, behind a line that can be cut, and the bulk lane's. */
  let fast: TestSmtpServer;
  let line: TcpProxy;
  let slow: TestSmtpServer;
  let app: MailApp;
  /** Subjects in the order of their arrival at either. */
  let arrived: string[];
  /** Bulk mail to `held` waits here. */
  let gate: Promise<void>;
  let open: () => void;

  beforeAll(async () => {
    const note = (raw: Buffer): void => void arrived.push(/^Subject: (.*)$/m.exec(raw.toString())![1]!.trim());
    fast = await startSmtpServer({
      onRcpt: (address) => (address.startsWith('nobody') ? { code: 550, text: '5.1.1 no such user' } : undefined),
      onData: ({ raw }) => note(raw),
    });
    slow = await startSmtpServer({
      onData: async ({ raw, to }) => {
        if (to[0]!.startsWith('held')) await gate;
        note(raw);
      },
    });
    line = await startTcpProxy(fast.port);
    app = await startMail({
      transports: [
        { name: 'fast', url: `smtp://127.0.0.1:${line.port}`, lanes: ['priority'] },
        { name: 'slow', url: slow.url, lanes: ['bulk'] },
      ],
      priority: { overflow: 'queue' },
      queue: { connection: await store.create(), worker: { batches: 1 } },
    });
  });

  const down = (): void => {
    line.refuse();
    line.cut();
  };
  const up = async (): Promise<void> => {
    await line.accept();
    const health = app.context.get(MailHealthIndicator);
    await eventually(() => health.transports()[0]!.circuit === 'closed', { within: 20_000 });
  };
  const urgent = (subject: string, more: Partial<MailMessageInput> = {}): Promise<MailReceipt> =>
    app.mail.send({ to: 'ann@readers.test', subject, text: 'x', ...more });
  const stateIs = (id: string, state: string): Promise<void> =>
    eventually(async () => expect((await app.mail.status(id))?.state).toBe(state), { within: 20_000 });

  const failure = (sending: Promise<unknown>): Promise<MailDeliveryError> =>
    sending.then(
      (receipt) => expect.fail(`It was taken: ${JSON.stringify(receipt)}`),
      (error: unknown) => {
        expect(error).toBeInstanceOf(MailDeliveryError);
        return error as MailDeliveryError;
      },
    );

  beforeEach(async () => {
    gate = new Promise((resolve) => (open = resolve));
    await up();
    for (const server of [fast, slow]) server.clear();
    arrived = [];
  });

  it('queues what no provider takes, and sends it as the same mail when one is back', async () => {
    down();
    const content = Buffer.from([1, 0, 255, 13, 10]);
    const receipt = await urgent('Your code', { attachments: [{ filename: 'a.bin', content }], bcc: 'log@shop.test' });
    expect(receipt).toEqual({
      status: 'queued',
      lane: 'bulk',
      id: expect.stringMatching(/^p_\w{20}$/) as string,
      messageId: `<${receipt.id}@shop.test>`,
    });
    await stateIs(receipt.id, 'queued');
    expect(arrived).toEqual([]);
    await up();
    await stateIs(receipt.id, 'sent');
    expect(await app.mail.status(receipt.id)).toMatchObject({ messageId: receipt.messageId, transport: 'fast' });
    expect(slow.received).toEqual([]);
    expect(fast.received.map(({ to }) => to)).toEqual([['ann@readers.test', 'log@shop.test']]);
    const mail = await parse(fast.received[0]!.raw);
    expect(mail).toMatchObject({ subject: 'Your code', messageId: receipt.messageId });
    expect(mail.attachments.map((attachment) => [attachment.filename, attachment.content])).toEqual([
      ['a.bin', content],
    ]);
  });

  it('keeps the id of its idempotencyKey, and is queued once', async () => {
    down();
    const idempotencyKey = 'order 1';
    const receipt = await urgent('Your order', { idempotencyKey });
    expect(receipt).toMatchObject({ status: 'queued', id: keyedId(idempotencyKey) });
    expect(await urgent('Your order', { idempotencyKey })).toStrictEqual(receipt);
    await up();
    await stateIs(receipt.id, 'sent');
    expect(await urgent('Your order', { idempotencyKey })).toStrictEqual(receipt);
    expect((await parse(fast.received[0]!.raw)).messageId).toBe(receipt.messageId);
    expect(arrived).toEqual(['Your order']);
  });

  it('goes ahead of everything that waits, in its own order', async () => {
    const bulk = (subject: string, more: Partial<MailMessageInput>): Promise<MailReceipt> =>
      app.mail.send({ lane: 'bulk', to: 'bob@readers.test', subject, text: 'x', ...more });
    const held = await bulk('held', { to: 'held@readers.test' });
    await stateIs(held.id, 'sending');
    await bulk('high', { urgency: 'high' });
    const last = await bulk('normal', {});
    down();
    for (const subject of ['first', 'second', 'third'])
      expect(await urgent(subject)).toMatchObject({ status: 'queued' });
    expect(await app.mail.queue()).toMatchObject({ batches: { active: 1, waiting: 5 } });
    await up();
    open();
    await stateIs(last.id, 'sent');
    expect(arrived).toEqual(['held', 'first', 'second', 'third', 'high', 'normal']);
  });

  it('is counted, found as the oldest and drained like all that waits', async () => {
    await app.mail.pause();
    onTestFinished(() => app.mail.resume());
    down();
    const before = Date.now();
    const receipt = await urgent('Drained');
    const report = await app.mail.queue();
    expect(report).toMatchObject({ paused: true, batches: { waiting: 1 }, oldestWaiting: expect.any(Date) as Date });
    expect(report.oldestWaiting!.getTime()).toBeGreaterThanOrEqual(before);
    expect(await app.mail.drain()).toBe(1);
    expect(await app.mail.status(receipt.id)).toMatchObject({ state: 'cancelled' });
    await app.mail.resume();
    await eventually(async () => expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 0, active: 0 } }));
  });

  it('can be cancelled while it waits', async () => {
    down();
    const first = await urgent('Cancelled');
    await stateIs(first.id, 'queued');
    expect(await app.mail.cancel(first.id)).toBe(true);
    expect(await app.mail.status(first.id)).toMatchObject({ state: 'cancelled' });
    const second = await urgent('Wanted');
    await up();
    await stateIs(second.id, 'sent');
    expect(await app.mail.cancel(second.id)).toBe(false);
    await eventually(async () => expect(await app.mail.queue()).toMatchObject({ batches: { delayed: 0, active: 0 } }), {
      within: 20_000,
    });
    expect(await app.mail.status(first.id)).toMatchObject({ state: 'cancelled' });
    expect(arrived).toEqual(['Wanted']);
  });

  it('can be cancelled when the same key was refused before', async () => {
    const idempotencyKey = 'order 2';
    const refused = await failure(urgent('Refused', { idempotencyKey, to: 'nobody@readers.test' }));
    await stateIs(refused.id, 'failed');
    await app.mail.pause();
    onTestFinished(() => app.mail.resume());
    down();
    expect(await urgent('Cancelled', { idempotencyKey })).toMatchObject({ status: 'queued', id: refused.id });
    expect(await app.mail.cancel(refused.id)).toBe(true);
    expect(await app.mail.status(refused.id)).toMatchObject({ state: 'cancelled', lane: 'bulk' });
  });

  it('ends as expired when the providers come back too late', async () => {
    down();
    const expiresAt = Date.now() + 3_000;
    const receipt = await urgent('Your code', { expiresAt });
    expect(receipt.status).toBe('queued');
    await eventually(() => Date.now() > expiresAt);
    await up();
    await stateIs(receipt.id, 'expired');
    expect(arrived).toEqual([]);
  });

  it('is not for a mail that may have been sent, was refused for good, or has expired', async () => {
    const cut = line.cutAfter('\r\n.\r\n');
    const lost = await failure(urgent('Lost'));
    await cut;
    expect(lost).toMatchObject({ outcome: 'unknown', attempts: [{ transport: 'fast', outcome: 'unknown' }] });
    await up();
    const refused = await failure(urgent('Refused', { to: 'nobody@readers.test' }));
    expect(refused).toMatchObject({ permanent: true, attempts: [{ replyCode: 550 }] });
    down();
    const expired = await failure(urgent('Expired', { expiresAt: Date.now() - 1 }));
    expect(expired).toMatchObject({ permanent: true, code: 'EXPIRED' });
    await stateIs(lost.id, 'failed');
    await stateIs(refused.id, 'failed');
    await stateIs(expired.id, 'expired');
    await up();
    const next = await urgent('Next');
    expect(next.status).toBe('sent');
    expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 0, delayed: 0, active: 0 } });
    expect(arrived).toEqual(['Lost', 'Next']);
  });
});
