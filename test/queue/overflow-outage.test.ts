import { describe, expect, it } from 'vitest';
import { MailDeliveryError, MailQueueUnavailableError } from '../../src/errors.js';
import { MailHealthIndicator } from '../../src/nest/mail-health.js';
import type { MailReceipt } from '../../src/nest/sender.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { loseNextFlush, loseStoreAfterNextFlush } from './lost-flush.js';

/** No provider in reach, and the queue behind a line that can be cut. */
async function startWithoutProvider(
  store: (typeof STORES)[number],
  priority: MailModuleOptions['priority'] = { overflow: 'queue' },
): Promise<{ app: MailApp; line: TcpProxy; send: (subject: string) => Promise<MailReceipt> }> {
  const url = new URL(await store.create());
  const line = await startTcpProxy(Number(url.port));
  url.port = String(line.port);
  const smtp = `smtp://127.0.0.1:${await freePort()}`;
  const app = await startMail({ smtp, priority: priority ?? {}, queue: { connection: url.href, worker: false } });
  const send = (subject: string): Promise<MailReceipt> =>
    app.mail.send({ to: 'ann@readers.test', subject, text: 'x', html: 's3cret body' });
  // Opens what is opened at first use.
  await app.mail.send({ lane: 'bulk', to: 'ann@readers.test', subject: 'Before', text: 'x' });
  return { app, line, send };
}

const failure = async (sending: Promise<unknown>): Promise<MailDeliveryError> => {
  const error = await sending.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MailDeliveryError);
  return error as MailDeliveryError;
};

// The embedded store has no line that could be cut.
describe.each(STORES.filter(({ name }) => name !== 'embedded'))('a mail that no provider takes, on $name', (store) => {
  it('fails with its attempts when the queue is away too, and says so', async () => {
    const { line, send } = await startWithoutProvider(store);
    line.refuse();
    line.cut();
    const error = await failure(send('Neither'));
    expect(error).toMatchObject({
      id: expect.stringMatching(/^p_/) as string,
      permanent: false,
      outcome: 'not-sent',
      attempts: [{ transport: 'main', phase: 'connect', outcome: 'not-sent' }],
      cause: { transport: 'main' },
    });
    expect(error.message).toMatch(/main at connect: .*ECONNREFUSED.* Nor could it be queued: .*queue\.connection/s);
    expect(error.message).not.toContain('s3cret');

    await line.accept();
    const receipt = await eventually(() => send('Queued'), { within: 20_000 });
    expect(receipt.status).toBe('queued');
  });

  it('is queued once though the store’s first answer is lost', async () => {
    const { app, line, send } = await startWithoutProvider(store);
    const cut = loseNextFlush(store, line);
    const receipt = await send('The answer is lost');
    await cut;
    expect(receipt.status).toBe('queued');
    expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 2 } });
    expect(await app.mail.status(receipt.id)).toMatchObject({ state: 'queued', messageId: receipt.messageId });
  });

  it('may have been queued when the store takes it and answers no more', async () => {
    const { app, line, send } = await startWithoutProvider(store);
    const cut = loseStoreAfterNextFlush(store, line);
    const error = await failure(send('No answer at all'));
    await cut;
    expect(error).toMatchObject({ permanent: false, outcome: 'unknown', attempts: [{ outcome: 'not-sent' }] });
    expect(error.message).toMatch(/Nor could it be queued: .*may have been queued/);
    await line.accept();
    const status = await eventually(() => app.mail.status(error.id).then((found) => found ?? false), {
      within: 20_000,
    });
    expect(status).toMatchObject({ id: error.id, state: 'queued' });
  });

  it('may have been queued when the store stands still, and is when that goes on', async () => {
    const { app, line, send } = await startWithoutProvider(store);
    line.freeze();
    const error = await failure(send('Stands still'));
    expect(error).toMatchObject({ permanent: false, outcome: 'unknown', attempts: [{ outcome: 'not-sent' }] });
    expect(error.message).toMatch(/Nor could it be queued: /);
    line.thaw();
    await eventually(async () => expect(await app.mail.status(error.id)).toMatchObject({ state: 'queued' }), {
      within: 20_000,
    });
    expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 2 } });
    expect(await app.mail.cancel(error.id)).toBe(true);
    expect(await app.mail.status(error.id)).toMatchObject({ state: 'cancelled' });
  }, 90_000);

  it('is not queued unless the application asked for it', async () => {
    const { app, send } = await startWithoutProvider(store, {});
    expect(await failure(send('Not queued'))).toMatchObject({ permanent: false, outcome: 'not-sent' });
    expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 1 } });
  });
});

it('goes over to the queue when its time is up, not only when every provider has refused', async () => {
  const smtp = await startSmtpServer();
  const line = await startTcpProxy(smtp.port);
  const app = await startMail({
    smtp: `smtp://127.0.0.1:${line.port}`,
    priority: { overflow: 'queue', timeout: '300ms' },
    queue: { connection: await STORES[0]!.create() },
  });
  line.freeze();
  const receipt = await app.mail.send({ to: 'ann@readers.test', subject: 'Slow', text: 'x' });
  expect(receipt.status).toBe('queued');
  line.thaw();
  await eventually(async () => expect((await app.mail.status(receipt.id))?.state).toBe('sent'), { within: 20_000 });
  expect(smtp.received).toHaveLength(1);
  await app.close();
});

it('goes over to the queue again when its key has been forgotten', async () => {
  const smtp = await startSmtpServer();
  const line = await startTcpProxy(smtp.port);
  const app = await startMail({
    smtp: `smtp://127.0.0.1:${line.port}`,
    priority: { overflow: 'queue' },
    idempotencyTtl: '1s',
    queue: { connection: await STORES[0]!.create() },
  });
  const health = app.context.get(MailHealthIndicator);
  const ids = new Set<string>();
  for (const times of [1, 2]) {
    line.refuse();
    line.cut();
    const idempotencyKey = 'every day';
    const receipt = await app.mail.send({ to: 'ann@readers.test', subject: 'Report', text: 'x', idempotencyKey });
    const forgottenAt = Date.now() + 1_100;
    ids.add(receipt.id);
    expect(receipt.status).toBe('queued');
    await line.accept();
    await eventually(() => expect(smtp.received).toHaveLength(times), { within: 20_000 });
    await eventually(() => Date.now() > forgottenAt && health.transports()[0]!.circuit === 'closed', {
      within: 20_000,
    });
    expect(await app.mail.status(receipt.id)).toMatchObject({ state: 'sent', lane: 'bulk' });
  }
  expect(ids.size).toBe(1);
  await app.close();
}, 60_000);

it('bulk mail is refused while the store is away, and never becomes priority mail', async () => {
  const smtp = await startSmtpServer();
  const connection = `redis://127.0.0.1:${await freePort()}`;
  const app = await startMail({ smtp: smtp.url, priority: { overflow: 'queue' }, queue: { connection } });
  const sending = app.mail.send({ lane: 'bulk', to: 'ann@readers.test', subject: 'x', text: 'x' });
  await expect(sending).rejects.toBeInstanceOf(MailQueueUnavailableError);
  expect(await app.mail.send({ to: 'ann@readers.test', subject: 'x', text: 'x' })).toMatchObject({ status: 'sent' });
  expect(smtp.received).toHaveLength(1);
  await app.close();
});
