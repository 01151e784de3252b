import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { MailDeliveryError, MailValidationError } from '../../src/errors.js';
import type { MailMessageInput } from '../../src/message/message.js';
import type { TenantTransportConfig } from '../../src/nest/options/types.js';
import type { MailReceipt } from '../../src/nest/sender.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore, STORES } from '../support/stores.js';

const PASSWORD = 'acme-s3cret';

onEveryStore((store) => {
  let main: TestSmtpServer;
  let acme: TestSmtpServer;
  let app: MailApp;
  let queue: Queue;
  let resolve: (name: string) => TenantTransportConfig | undefined | Promise<TenantTransportConfig | undefined>;
  let asked: string[];
  /** Tenants are remembered for a minute, so each test has its own. */
  let tenant: string;
  let number = 0;

  beforeAll(async () => {
    main = await startSmtpServer();
    acme = await startSmtpServer({ auth: { user: 'acme', pass: PASSWORD } });
    app = await startMail({
      smtp: main.url,
      queue: { connection: await store.create() },
      resolveTransport: (name) => {
        asked.push(name);
        return resolve(name);
      },
    });
    queue = app.context.get<Queue>(getQueueToken('mail'));
  });
  beforeEach(() => {
    tenant = `acme ${number++}`;
    for (const server of [main, acme]) server.clear();
    asked = [];
    resolve = async (name) => (name === tenant ? { url: acme.url } : undefined);
  });

  const send = (more: Partial<MailMessageInput> = {}): Promise<MailReceipt> =>
    app.mail.send({ to: 'ann@readers.test', subject: 'Hi', text: 'x', transport: tenant, ...more });
  const stateIs = (id: string, state: string): Promise<void> =>
    eventually(async () => expect((await app.mail.status(id))?.state).toBe(state), { within: 20_000 });
  const failure = async (sending: Promise<unknown>): Promise<unknown> => sending.catch((reason: unknown) => reason);

  it('both lanes and campaigns send by the transport found for the tenant, which is looked up once', async () => {
    expect(await send()).toMatchObject({ status: 'sent', transport: tenant });
    const { id } = await send({ lane: 'bulk' });
    await stateIs(id, 'sent');
    expect(await app.mail.status(id)).toMatchObject({ transport: tenant });
    const recipients = Array.from({ length: 5 }, (_, n) => ({ to: `reader${n}@readers.test` }));
    const campaign = await app.mail.sendBulk({ subject: 'News', text: 'x', transport: tenant, recipients });
    await eventually(async () => expect(await app.mail.campaign(campaign.id)).toMatchObject({ sent: 5 }));
    expect(acme.received).toHaveLength(7);
    expect(main.received).toEqual([]);
    expect(asked).toEqual([tenant]);
  });

  it('one of the configured names is taken without a look-up', async () => {
    expect(await send({ transport: 'main' })).toMatchObject({ transport: 'main' });
    await stateIs((await send({ transport: 'main', lane: 'bulk' })).id, 'sent');
    expect(asked).toEqual([]);
    expect(main.received).toHaveLength(2);
  });

  it('may be a transport of the application’s own', async () => {
    const mailbox = new Mailbox('whatever');
    resolve = () => mailbox;
    await send();
    await stateIs((await send({ lane: 'bulk' })).id, 'sent');
    expect(mailbox.received.map(({ lane }) => lane)).toEqual(['priority', 'bulk']);
  });

  it('the queue holds the name and no credentials', async () => {
    await app.mail.pause();
    const { id } = await send({ lane: 'bulk', idempotencyKey: tenant });
    const campaign = await app.mail.sendBulk({
      subject: 'News',
      text: 'x',
      transport: tenant,
      recipients: [{ to: 'ann@readers.test' }],
    });
    // Not even when this process knows them already.
    await send();
    const jobs = [await queue.getJob(id), await queue.getJob(`${campaign.id}-0`)];
    for (const job of jobs) {
      const raw = JSON.stringify(job!.asJSON());
      expect(JSON.parse((JSON.parse(raw) as { data: string }).data)).toMatchObject({ transport: tenant });
      expect(raw).not.toMatch(new RegExp(`${PASSWORD}|"acme"|:${acme.port}|smtp:|"auth`));
    }
    await app.mail.resume();
    await stateIs(id, 'sent');
    const after = JSON.stringify([(await queue.getJob(id))!.asJSON(), await app.mail.status(id)]);
    expect(after).not.toContain(PASSWORD);
  });

  it.each<[string, () => TenantTransportConfig | undefined]>([
    ['is not known there', () => undefined],
    [
      'cannot be looked up there',
      () => {
        throw new Error('the tenants’ database is away');
      },
    ],
    ['has options that are wrong', () => ({ url: `http://acme:${PASSWORD}@host` })],
  ])('a mail waits in the worker while its tenant %s, and is delivered once it is', async (_, broken) => {
    resolve = broken;
    const { id } = await send({ lane: 'bulk' });
    await eventually(() => expect(asked.length).toBeGreaterThanOrEqual(2));
    await stateIs(id, 'queued');
    const other = await send({ lane: 'bulk', transport: 'main' });
    await stateIs(other.id, 'sent');
    expect((await app.mail.status(id))?.attempts).toBe(0);
    resolve = () => ({ url: acme.url });
    await stateIs(id, 'sent');
    expect(await app.mail.status(id)).toMatchObject({ transport: tenant, attempts: 1 });
    expect(acme.received).toHaveLength(1);
  });

  it('an unknown name on the priority lane is a wrong message', async () => {
    resolve = () => undefined;
    const error = await failure(send({ idempotencyKey: tenant }));
    expect(error).toBeInstanceOf(MailValidationError);
    expect((error as MailValidationError).errors).toEqual([
      {
        path: 'transport',
        message: `"${tenant}" is not configured; known are main, and resolveTransport knows none of that name`,
      },
    ]);
    resolve = () => ({ url: acme.url });
    expect(await send({ idempotencyKey: tenant })).toMatchObject({ status: 'sent' });
  });

  it('a look-up that fails on the priority lane is a delivery that failed, and its cause is told', async () => {
    const reason = new Error('the tenants’ database is away');
    resolve = () => Promise.reject(reason);
    const error = await failure(send());
    expect(error).toBeInstanceOf(MailDeliveryError);
    expect(error).toMatchObject({
      outcome: 'not-sent',
      permanent: false,
      attempts: [
        { transport: tenant, phase: 'queue', reply: 'resolveTransport failed: the tenants’ database is away' },
      ],
      cause: { cause: reason },
    });
    resolve = () => ({ url: `http://acme:${PASSWORD}@host` });
    const wrong = await failure(send());
    expect(wrong).toMatchObject({ outcome: 'not-sent', message: expect.stringContaining('Give smtp://') as string });
    expect(String(wrong)).not.toContain(PASSWORD);
    expect(main.received).toEqual([]);
    resolve = () => ({ url: acme.url });
    expect(await send()).toMatchObject({ status: 'sent' });
  });
});

it('a mail whose tenant is not found for queue.retry.maxAge fails with that reason', async () => {
  const app = await startMail({
    queue: { connection: await STORES[0]!.create(), retry: { maxAge: '1s' } },
    resolveTransport: () => undefined,
  });
  const { id } = await app.mail.send({ lane: 'bulk', to: 'ann@readers.test', subject: 'x', transport: 'acme' });
  const failed = await eventually(
    async () => {
      const status = await app.mail.status(id);
      return status?.state === 'failed' && status;
    },
    { within: 20_000 },
  );
  expect(failed.reply).toContain('"acme" is not configured; known are main, and resolveTransport knows none');
  await app.close();
});

it('a priority mail whose tenant cannot be looked up is queued where the application wants that', async () => {
  const acme = await startSmtpServer();
  let away = true;
  const app = await startMail({
    queue: { connection: await STORES[0]!.create() },
    priority: { overflow: 'queue' },
    resolveTransport: (name) => {
      if (away) throw new Error('the tenants’ database is away');
      return name === 'acme' ? { url: acme.url } : undefined;
    },
  });
  const message = { to: 'ann@readers.test', subject: 'x', text: 'x', transport: 'acme' };
  const receipt = await app.mail.send(message);
  expect(receipt).toMatchObject({ status: 'queued', id: expect.stringMatching(/^p_/) as string });
  away = false;
  await eventually(async () => expect((await app.mail.status(receipt.id))?.state).toBe('sent'), { within: 20_000 });
  expect(await app.mail.status(receipt.id)).toMatchObject({ transport: 'acme', messageId: receipt.messageId });
  await expect(app.mail.send({ ...message, transport: 'other' })).rejects.toBeInstanceOf(MailValidationError);
  await app.close();
});

it('without resolveTransport a name that is not configured is refused at once, in both lanes', async () => {
  const app = await startMail({ queue: { connection: 'redis://127.0.0.1:1' } });
  const message = { to: 'ann@readers.test', subject: 'x', text: 'x', transport: 'acme' };
  for (const sending of [
    app.mail.send(message),
    app.mail.send({ ...message, lane: 'bulk' }),
    app.mail.sendBulk({ subject: 'x', text: 'x', transport: 'acme', recipients: [] }),
  ]) {
    await expect(sending).rejects.toThrow('transport: "acme" is not configured; known are main');
    await expect(sending).rejects.toBeInstanceOf(MailValidationError);
  }
  await app.close();
});
