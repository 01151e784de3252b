import { describe, expect, it } from 'vitest';
import { MailQueueUnavailableError } from '../../src/errors.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';

interface Server {
  url: string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

const SERVERS: [name: string, start: () => Promise<Server>][] = [
  [
    'redis',
    async () => {
      const redis = await startRedis({ appendonly: true });
      return { url: redis.url, stop: () => redis.stop(), start: () => redis.restart() };
    },
  ],
  ['postgres', startPostgres],
];

describe.each(SERVERS)('while %s is away', (_, startServer) => {
  const bulk = { lane: 'bulk', to: 'bulk@readers.test', subject: 'x', text: 'x' } as const;
  const priority = { to: 'priority@readers.test', subject: 'x', text: 'x' } as const;

  async function arrives(app: MailApp, smtp: TestSmtpServer): Promise<void> {
    const before = smtp.received.length;
    const receipt = await eventually(() => app.mail.send(bulk), { within: 20_000 });
    expect(receipt.status).toBe('queued');
    await eventually(() => expect(smtp.received).toHaveLength(before + 1), { within: 30_000 });
  }

  it('the application boots, bulk is refused at once, priority goes on, and both recover by themselves', async () => {
    const smtp = await startSmtpServer();
    const server = await startServer();
    await server.stop();
    const app = await startMail({ smtp: smtp.url, queue: { connection: server.url } });
    const refused = await app.mail.send(bulk).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(MailQueueUnavailableError);
    expect(refused).toMatchObject({ permanent: false, outcome: 'not-sent', cause: expect.any(Error) as Error });
    await expect(app.mail.sendBulk({ subject: 'x', recipients: [] })).rejects.toBeInstanceOf(MailQueueUnavailableError);
    await expect(app.mail.queue()).rejects.toBeInstanceOf(MailQueueUnavailableError);
    expect(await app.mail.send(priority)).toMatchObject({ status: 'sent' });
    expect(smtp.received).toHaveLength(1);

    await server.start();
    await arrives(app, smtp);

    await server.stop();
    await eventually(() => expect(app.mail.send(bulk)).rejects.toBeInstanceOf(MailQueueUnavailableError));
    expect(await app.mail.send(priority)).toMatchObject({ status: 'sent' });
    await server.start();
    await arrives(app, smtp);
    await app.close();
    await server.stop();
  }, 90_000);

  it('a campaign that is being delivered waits and goes on, with nobody lost', async () => {
    const smtp = await startSmtpServer({ delay: 2 });
    const server = await startServer();
    const app = await startMail({
      smtp: smtp.url,
      queue: { connection: server.url, batch: { size: 50 }, worker: { lockDuration: '2s' } },
    });
    const recipients = Array.from({ length: 1_000 }, (__, n) => ({ to: `reader${n}@readers.test` }));
    const { id } = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients });
    await eventually(() => expect(smtp.received.length).toBeGreaterThan(100));
    await server.stop();
    await server.start();
    await eventually(
      async () => expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed', sent: 1_000 }),
      {
        within: 60_000,
      },
    );
    const addresses = smtp.received.flatMap(({ to }) => to);
    expect(new Set(addresses).size).toBe(1_000);
    // What was in flight on 5 connections, and what was accepted while the last checkpoint got no answer.
    expect(addresses.length - 1_000).toBeLessThanOrEqual(200);
    await app.close();
    await server.stop();
  }, 90_000);
});

it('an address where nothing listens, or a host that does not exist, is named with the remedy and without the password', async () => {
  const smtp = await startSmtpServer();
  for (const url of [
    `redis://user:s3cret@127.0.0.1:${await freePort()}`,
    `postgres://user:s3cret@127.0.0.1:${await freePort()}/x`,
  ]) {
    const app = await startMail({ smtp: smtp.url, queue: { connection: url } });
    const error = (await app.mail
      .send({ lane: 'bulk', to: 'a@readers.test', subject: 'x' })
      .catch((reason: unknown) => reason)) as MailQueueUnavailableError;
    expect(error.message).toMatch(/ECONNREFUSED.*queue\.connection/);
    expect(error.message).not.toContain('s3cret');
    await app.close();
  }
});
