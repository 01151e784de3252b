import { beforeAll, expect, it } from 'vitest';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryQueue } from '../support/stores.js';

onEveryQueue((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let refuses = true;

  beforeAll(async () => {
    smtp = await startSmtpServer({
      onRcpt: (address) =>
        refuses && address.startsWith('bad') ? { code: 550, text: '5.1.1 no such user' } : undefined,
    });
    app = await startMail({
      transports: [{ name: 'main', url: smtp.url, maxConnections: 2 }],
      queue: { connection: await store.create(), batch: { size: 5 } },
    });
  });

  const failures = async (id: string): Promise<MailStatus[]> => {
    const found: MailStatus[] = [];
    for await (const status of app.mail.failures(id)) found.push(status);
    return found;
  };
  const campaignIs = (id: string, expected: object): Promise<void> =>
    eventually(async () => expect(await app.mail.campaign(id)).toMatchObject(expected));

  it('sends what had failed again, under the same ids, and nothing else', async () => {
    const recipients = Array.from({ length: 14 }, (_, n) => ({
      to: `${n % 4 === 1 ? 'bad' : 'good'}${n}@readers.test`,
    }));
    const { id } = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients });
    await campaignIs(id, { state: 'completed', sent: 10, failed: 4 });
    const failed = await failures(id);
    expect(failed[0]).toMatchObject({ reply: '550 5.1.1 no such user', enhancedCode: '5.1.1', attempts: 1 });

    // The reason is still there: they fail again, each with an attempt of its own.
    expect(await app.mail.retryFailed(id)).toBe(4);
    await campaignIs(id, { state: 'completed', sent: 10, failed: 4 });
    expect(await failures(id)).toMatchObject(failed.map(({ id, attempts }) => ({ id, attempts })));

    refuses = false;
    expect(await app.mail.retryFailed(id)).toBe(4);
    await campaignIs(id, { state: 'completed', sent: 14, failed: 0 });
    expect(await failures(id)).toEqual([]);
    const served = smtp.received.flatMap(({ to }) => to);
    expect(served.sort()).toEqual(recipients.map(({ to }) => to).sort());
    const bad = smtp.received.find(({ to }) => to[0] === 'bad1@readers.test')!;
    expect(bad.raw.toString()).toContain(`Message-ID: ${failed[0]!.messageId}`);
    expect(await app.mail.retryFailed(id)).toBe(0);
    expect(await app.mail.retryFailed('no-such-campaign')).toBe(0);
  });

  it('leaves those of a cancelled campaign as they are', async () => {
    refuses = true;
    const { id } = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: [{ to: 'bad@readers.test' }, { to: 'later@readers.test' }],
      sendAt: new Date(Date.now() + 3_600_000),
    });
    expect(await app.mail.cancel(id)).toBe(true);
    expect(await app.mail.retryFailed(id)).toBe(0);
    expect(await app.mail.campaign(id)).toMatchObject({ state: 'cancelled', failed: 0 });
  });
});
