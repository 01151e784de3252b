import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { MailDeliveryError } from '../../src/errors.js';
import type { MailMessageInput } from '../../src/message/message.js';
import type { MailReceipt } from '../../src/nest/sender.js';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore, STORES } from '../support/stores.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const failure = async (sending: Promise<unknown>): Promise<MailDeliveryError> => {
  const error = await sending.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MailDeliveryError);
  return error as MailDeliveryError;
};

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let started: number;

  beforeAll(async () => {
    smtp = await startSmtpServer({
      onRcpt: (address) => {
        if (address.startsWith('gone')) return { code: 550, text: '5.1.1 no such user' };
        if (address.startsWith('full')) return { code: 452, text: '4.2.2 mailbox full' };
        return address.startsWith('silent') ? new Promise(() => undefined) : undefined;
      },
      onData: ({ to }) => (to[0]!.startsWith('slow') ? new Promise(() => undefined) : undefined),
    });
    app = await startMail({ smtp: smtp.url, queue: { connection: await store.create() } });
  });
  beforeEach(() => {
    smtp.clear();
    started = Date.now();
  });

  const send = (more: Partial<MailMessageInput> = {}): Promise<MailReceipt> =>
    app.mail.send({ to: 'ann@readers.test', subject: 'Your code', text: 'x', ...more });
  /** What is recorded of a priority mail, a moment after its answer. */
  const recorded = async (id: string): Promise<MailStatus> => {
    const status = await eventually(async () => (await app.mail.status(id)) ?? false);
    expect(status.at!.getTime()).toBeGreaterThanOrEqual(started);
    for (const recipient of status.recipients) expect(recipient.at).toEqual(status.at);
    return status;
  };

  it('tells of a mail that was sent', async () => {
    const receipt = await send({ cc: 'Bob <bob@readers.test>', bcc: 'log@shop.test' });
    if (receipt.status !== 'sent') expect.fail('It was not sent');
    const how = { state: 'sent', transport: 'main', reply: receipt.response, attempts: 1 };
    expect(await recorded(receipt.id)).toMatchObject({
      id: receipt.id,
      messageId: receipt.messageId,
      lane: 'priority',
      ...how,
      recipients: ['ann@readers.test', 'bob@readers.test', 'log@shop.test'].map((address) => ({ address, ...how })),
    });
  });

  it('tells of a mail that was refused for some, with the words about each', async () => {
    const receipt = await send({ to: ['gone@readers.test', 'ann@readers.test', 'full@readers.test'] });
    expect(receipt).toMatchObject({ status: 'sent', rejected: ['gone@readers.test', 'full@readers.test'] });
    const status = await recorded(receipt.id);
    expect(status).toMatchObject({ state: 'sent', messageId: receipt.messageId });
    expect(new Map(status.recipients.map((recipient) => [recipient.address, recipient]))).toMatchObject(
      new Map([
        ['ann@readers.test', { state: 'sent', transport: 'main' }],
        ['gone@readers.test', { state: 'failed', replyCode: 550, enhancedCode: '5.1.1', transport: 'main' }],
        ['full@readers.test', { state: 'failed', replyCode: 452, enhancedCode: '4.2.2', transport: 'main' }],
      ]),
    );
    for (const { state, reply } of status.recipients) {
      expect(reply).toMatch(state === 'sent' ? /^250 / : /no such user|mailbox full/);
    }
  });

  it('tells of a mail that failed, with the server’s words and its recipients', async () => {
    const error = await failure(send({ to: ['gone1@readers.test', 'gone2@readers.test'] }));
    const how = {
      state: 'failed',
      transport: 'main',
      replyCode: 550,
      enhancedCode: '5.1.1',
      attempts: 1,
      reply: expect.stringContaining('no such user') as string,
    };
    expect(await recorded(error.id)).toMatchObject({
      lane: 'priority',
      messageId: `<${error.id}@shop.test>`,
      ...how,
      recipients: ['gone1@readers.test', 'gone2@readers.test'].map((address) => ({ address, ...how })),
    });
  });

  it('tells of a mail that expired, before or while it was being sent', async () => {
    const late = await failure(send({ expiresAt: Date.now() - 1_000 }));
    expect(late).toMatchObject({ code: 'EXPIRED', permanent: true, attempts: [] });
    expect(await recorded(late.id)).toMatchObject({
      state: 'expired',
      lane: 'priority',
      attempts: 0,
      recipients: [{ address: 'ann@readers.test', state: 'expired' }],
    });
    const silent = await failure(send({ to: 'silent@readers.test', expiresAt: Date.now() + 1_000 }));
    expect(silent).toMatchObject({ code: 'EXPIRED', permanent: true, outcome: 'not-sent' });
    expect(await recorded(silent.id)).toMatchObject({ state: 'expired', attempts: 1, transport: 'main' });
    expect(smtp.received).toEqual([]);
  });

  it('tells of a mail that may have been sent that it failed', async () => {
    const error = await failure(send({ to: 'slow@readers.test', expiresAt: Date.now() + 1_000 }));
    expect(error).toMatchObject({ outcome: 'unknown', attempts: [{ outcome: 'unknown' }] });
    expect(await recorded(error.id)).toMatchObject({
      state: 'failed',
      transport: 'main',
      reply: expect.stringMatching(/expired before an answer came/) as string,
    });
  });

  it('keeps what was sent for keep.sent, and what failed for keep.failed', async () => {
    const ownStore = await store.create();
    const options = { smtp: smtp.url, queue: { connection: ownStore, keep: { sent: 0, failed: '1h' as const } } };
    const brief = await startMail(options);
    onTestFinished(() => brief.close());
    const { id } = await brief.mail.send({ to: 'ann@readers.test', subject: 'x', text: 'x' });
    const failed = await failure(brief.mail.send({ to: 'gone@readers.test', subject: 'x', text: 'x' }));
    await eventually(async () => expect((await brief.mail.status(failed.id))?.state).toBe('failed'));
    expect(await brief.mail.status(id)).toBeUndefined();
  });
});

// The embedded store has no line that could be cut.
describe.each(STORES.filter(({ name }) => name !== 'embedded'))('while $name', (store) => {
  const start = async () => {
    const smtp = await startSmtpServer({
      onRcpt: (address) => (address.startsWith('gone') ? { code: 550, text: '5.1.1 no such user' } : undefined),
    });
    const url = new URL(await store.create());
    const line = await startTcpProxy(Number(url.port));
    url.port = String(line.port);
    const app = await startMail({ smtp: smtp.url, shutdownTimeout: '1s', queue: { connection: url.href } });
    const send = (to: string) => app.mail.send({ to, subject: 'x', text: 'x' });
    // Opens what is opened at first use.
    const { id } = await send('ann@readers.test');
    await eventually(async () => expect((await app.mail.status(id))?.state).toBe('sent'));
    return { smtp, line, app, send };
  };

  it('stands still, mail is answered all the same, and recorded when it goes on', async () => {
    const { smtp, line, app, send } = await start();
    line.freeze();
    const receipts = [await send('bob@readers.test'), await send('carl@readers.test')];
    const failed = await failure(send('gone@readers.test'));
    expect(receipts).toMatchObject([{ status: 'sent' }, { status: 'sent' }]);
    expect(smtp.received).toHaveLength(3);
    line.thaw();
    for (const { id } of receipts) await eventually(async () => expect(await app.mail.status(id)).toBeDefined());
    await eventually(async () => expect((await app.mail.status(failed.id))?.state).toBe('failed'));
  });

  it('is away, mail is answered all the same, and the record is what is lost', async () => {
    const { smtp, line, app, send } = await start();
    line.refuse();
    line.cut();
    const lost = await send('bob@readers.test');
    expect(lost.status).toBe('sent');
    expect(await failure(send('gone@readers.test'))).toMatchObject({ permanent: true });
    await line.accept();
    const kept = await eventually(
      async () => {
        const { id } = await send('carl@readers.test');
        return eventually(async () => (await app.mail.status(id)) ?? false, { within: 1_000 });
      },
      { within: 20_000 },
    );
    expect(kept).toMatchObject({ state: 'sent', recipients: [{ address: 'carl@readers.test' }] });
    expect(smtp.received[1]!.to).toEqual(['bob@readers.test']);
  });
});
