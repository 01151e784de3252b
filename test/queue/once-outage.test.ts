import { Logger } from '@nestjs/common';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { MailDeliveryError, MailQueueUnavailableError, MailValidationError } from '../../src/errors.js';
import { keyedId } from '../../src/message/ids.js';
import type { MailMessageInput } from '../../src/message/message.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { loseStoreAfterNextFlush } from './lost-flush.js';

interface Setup {
  smtp: TestSmtpServer;
  /** To the mail server. */
  wire: TcpProxy;
  /** To the store. */
  line: TcpProxy;
  connection: string;
  app: MailApp;
  /** What was logged as an error. */
  logged: () => string[];
}

async function start(store: (typeof STORES)[number]): Promise<Setup> {
  const error = vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
  onTestFinished(() => error.mockRestore());
  const smtp = await startSmtpServer();
  const wire = await startTcpProxy(smtp.port);
  const direct = await store.create();
  const url = new URL(direct);
  const line = await startTcpProxy(Number(url.port));
  url.port = String(line.port);
  const app = await startMail({
    smtp: `smtp://127.0.0.1:${wire.port}`,
    queue: { connection: url.href },
    shutdownTimeout: '1s',
  });
  onTestFinished(() => app.close());
  const logged = (): string[] => error.mock.calls.map(([message]) => String(message));
  return { smtp, wire, line, connection: direct, app, logged };
}

const mail = (idempotencyKey: string, more: Partial<MailMessageInput> = {}): MailMessageInput => ({
  to: 'ann@readers.test',
  subject: 'Your order',
  text: 'x',
  idempotencyKey,
  ...more,
});
const failure = async (sending: Promise<unknown>): Promise<MailDeliveryError> => {
  const error = await sending.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MailDeliveryError);
  return error as MailDeliveryError;
};
/** A mail goes out, and not again; one that was lost is held back. */
async function keepsToItself({ smtp, wire, app }: Omit<Setup, 'line' | 'connection' | 'logged'>): Promise<void> {
  const [first, meanwhile] = await Promise.all([app.mail.send(mail('alone')), app.mail.send(mail('alone'))]);
  expect(first).toMatchObject({ status: 'sent', id: keyedId('alone') });
  expect(meanwhile).toStrictEqual(first);
  expect(await app.mail.send(mail('alone'))).toStrictEqual(first);
  const cut = wire.cutAfter('\r\n.\r\n');
  const lost = await failure(app.mail.send(mail('lost alone')));
  await cut;
  expect(lost).toMatchObject({ outcome: 'unknown' });
  const again = await failure(app.mail.send(mail('lost alone')));
  expect(again).toMatchObject({ outcome: 'unknown', attempts: lost.attempts });
  await eventually(() => expect(smtp.received).toHaveLength(2));
}

const ALONE = /Idempotency keys are remembered by this process alone for now/;

// The embedded store has no line that could be cut.
describe.each(STORES.filter(({ name }) => name !== 'embedded'))('while $name', (store) => {
  it('is away, priority mail goes by what this process remembers, and says so', async () => {
    const setup = await start(store);
    const { app, line, logged } = setup;
    const before = await app.mail.send(mail('before'));
    setup.smtp.clear();
    line.refuse();
    line.cut();
    await keepsToItself(setup);
    expect(await app.mail.send(mail('before'))).toStrictEqual(before);
    expect(logged()).toContainEqual(expect.stringMatching(ALONE));
  });

  it('stands still, priority mail goes by what this process remembers, and says so', async () => {
    const setup = await start(store);
    const { app, line, logged, connection } = setup;
    await app.mail.send(mail('before'));
    setup.smtp.clear();
    line.freeze();
    await keepsToItself(setup);
    expect(logged()).toContainEqual(expect.stringMatching(ALONE));
    // What it remembers reaches the store when that goes on.
    line.thaw();
    const other = await startMail({ smtp: setup.smtp.url, queue: { connection } });
    const first = await app.mail.send(mail('alone'));
    await eventually(async () => expect(await other.mail.send(mail('alone'))).toStrictEqual(first));
    expect(setup.smtp.received).toHaveLength(2);
  });

  it('does not answer in time, a batch that was sent before is not queued anew', async () => {
    const { smtp, line, connection, app, logged } = await start(store);
    const other = await startMail({ smtp: smtp.url, queue: { connection } });
    const first = await other.mail.send(mail('sent', { lane: 'bulk' }));
    await eventually(async () => expect((await app.mail.status(first.id))?.state).toBe('sent'));
    line.freeze();
    const again = app.mail.send(mail('sent', { lane: 'bulk' }));
    await eventually(() => expect(logged()).toContainEqual(expect.stringMatching(ALONE)));
    line.thaw();
    expect(await again).toStrictEqual(first);
    const next = await other.mail.send(mail('next', { lane: 'bulk' }));
    await eventually(async () => expect((await other.mail.status(next.id))?.state).toBe('sent'));
    expect(smtp.received).toHaveLength(2);
    expect(await other.mail.status(first.id)).toMatchObject({ state: 'sent', attempts: 1 });
  });

  it('is well, nothing is said of it', async () => {
    const { app, logged } = await start(store);
    await app.mail.send(mail('well'));
    await app.mail.send(mail('well'));
    await app.mail.send(mail('well too', { lane: 'bulk' }));
    await app.close();
    expect(logged()).not.toContainEqual(expect.stringMatching(ALONE));
  });

  it('takes a bulk mail and gives no answer, the same key queues it again without harm', async () => {
    const { app, line, smtp } = await start(store);
    await app.mail.send(mail('before', { lane: 'bulk' }));
    await eventually(() => expect(smtp.received).toHaveLength(1));
    await app.mail.pause();
    const cut = loseStoreAfterNextFlush(store, line);
    const message = mail('no answer', { lane: 'bulk', subject: 'No answer' });
    const error = await app.mail.send(message).catch((reason: unknown) => reason);
    await cut;
    expect(error).toBeInstanceOf(MailQueueUnavailableError);
    expect(error).toMatchObject({ outcome: 'unknown', ids: [keyedId('no answer')] });
    // The other lane knows better than to send what may be in the queue.
    expect(await failure(app.mail.send({ ...message, lane: 'priority' }))).toMatchObject({ outcome: 'unknown' });
    await line.accept();
    const receipt = await eventually(() => app.mail.send(message), { within: 20_000 });
    expect(receipt).toMatchObject({ status: 'queued', id: keyedId('no answer') });
    expect(await app.mail.send(message)).toStrictEqual(receipt);
    await eventually(() => app.mail.resume(), { within: 20_000 });
    await eventually(async () => expect((await app.mail.status(receipt.id))?.state).toBe('sent'), { within: 20_000 });
    expect(smtp.received).toHaveLength(2);
  }, 60_000);
});

describe('without a queue', () => {
  it('a key is remembered by the process', async () => {
    const smtp = await startSmtpServer();
    const wire = await startTcpProxy(smtp.port);
    const app = await startMail({ smtp: `smtp://127.0.0.1:${wire.port}`, queue: false });
    await keepsToItself({ smtp, wire, app });
    await app.close();
  });

  it('a key is forgotten after idempotencyTtl', async () => {
    const smtp = await startSmtpServer();
    const app = await startMail({ smtp: smtp.url, queue: false, idempotencyTtl: '1m' });
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const first = await app.mail.send(mail('short'));
    vi.setSystemTime(Date.now() + 59_000);
    expect(await app.mail.send(mail('short'))).toBe(first);
    vi.setSystemTime(Date.now() + 2_000);
    const second = await app.mail.send(mail('short'));
    expect(second).toMatchObject({ status: 'sent', id: first.id, messageId: first.messageId });
    expect(smtp.received).toHaveLength(2);
    await app.close();
  });

  it.each([
    ['nothing', ''],
    ['more than 200 characters', 'k'.repeat(201)],
    ['a NUL', 'a\0b'],
    ['a number', 5],
  ])('a key of %s is refused in either lane', async (_, key) => {
    const smtp = await startSmtpServer();
    const app = await startMail({ smtp: smtp.url, queue: false });
    for (const lane of ['priority', 'bulk'] as const) {
      const error = await app.mail.send(mail(key as string, { lane })).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(MailValidationError);
      expect(new Set((error as MailValidationError).errors.map(({ path }) => path))).toEqual(
        new Set(['idempotencyKey']),
      );
    }
    expect(await app.mail.send(mail('k'.repeat(200)))).toMatchObject({ status: 'sent' });
    expect(smtp.received).toHaveLength(1);
    await app.close();
  });
});
