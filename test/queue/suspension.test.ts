import { beforeAll, expect, it } from 'vitest';
import type { MailEvents } from '../../src/events/events.js';
import type { MailEngine } from '../../src/nest/mail-engine.js';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { onEveryStore } from '../support/stores.js';

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let line: TcpProxy;
  let app: MailApp;
  /** Messages that the server takes before it goes away. */
  let left = Infinity;
  const told: MailEvents['campaign-suspended'][] = [];

  beforeAll(async () => {
    smtp = await startSmtpServer({
      onMail: () => {
        if (left-- > 0) return undefined;
        line.refuse();
        return { code: 421, text: '4.3.2 Going down' };
      },
    });
    line = await startTcpProxy(smtp.url);
    app = await startMail({
      transports: [{ name: 'main', url: `smtp://127.0.0.1:${line.port}`, maxConnections: 2 }],
      queue: { connection: await store.create(), batch: { size: 10 }, waitForCapacity: 700 },
    });
    const { events } = app.context.get<MailEngine>('MailEngine(default)', { strict: false }).mailer;
    events.on('campaign-suspended', (event) => told.push(event));
  });

  const people = Array.from({ length: 35 }, (_, n) => ({ to: `r${n}@readers.test` }));
  const addresses = (statuses: MailStatus[]): string[] => statuses.map(({ recipients }) => recipients[0]!.address);
  const remaining = async (id: string): Promise<MailStatus[]> => {
    const found: MailStatus[] = [];
    for await (const status of app.mail.remaining(id)) found.push(status);
    return found;
  };
  const campaignIs = (id: string, expected: object): Promise<void> =>
    eventually(async () => expect(await app.mail.campaign(id)).toMatchObject(expected), { within: 20_000 });

  it(
    'suspends a campaign that no transport has room for, tells where it stopped, and resumes with the rest',
    { timeout: 60_000 },
    async () => {
      left = 13;
      const { id } = await app.mail.sendBulk({ id: 'stuck', subject: 'x', text: 'x', recipients: people });
      await campaignIs(id, { state: 'suspended' });
      const report = (await app.mail.campaign(id))!;
      // Its other batches hear of it in a moment.
      const rest = await eventually(async () => {
        const found = await remaining(id);
        expect(new Set(found.map(({ state }) => state))).toEqual(new Set(['suspended']));
        return found;
      });
      expect(report).toMatchObject({ total: 35, sent: 13, failed: 0, suspended: { remaining: 22 } });
      expect(report.suspended!.error).toMatch(/ECONNREFUSED|Going down/);
      expect(rest).toHaveLength(22);
      expect(rest.map((status) => status.id)).toContain(report.suspended!.place);
      expect(addresses(rest).sort()).toEqual(
        people
          .map(({ to }) => to)
          .filter((to) => !smtp.received.some((mail) => mail.to[0] === to))
          .sort(),
      );
      expect(told).toEqual([{ campaignId: id, ...report.suspended }]);

      // What is no campaign waits, and a suspended one lets others pass.
      left = Infinity;
      await line.accept();
      const other = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: [{ to: 'other@readers.test' }] });
      await campaignIs(other.id, { state: 'completed' });
      expect(await app.mail.campaign(id)).toMatchObject({ state: 'suspended', sent: 13 });

      await app.mail.resume(id);
      await campaignIs(id, { state: 'completed', sent: 35, failed: 0, deferred: 0 });
      expect((await app.mail.campaign(id))!.suspended).toBeUndefined();
      const served = smtp.received.flatMap(({ to }) => to).filter((to) => to.startsWith('r'));
      expect(served.sort()).toEqual(people.map(({ to }) => to).sort());
      expect(told).toHaveLength(1);
    },
  );

  it('lets go of a suspended campaign that is cancelled', { timeout: 60_000 }, async () => {
    left = 5;
    const { id } = await app.mail.sendBulk({ id: 'given-up', subject: 'x', text: 'x', recipients: people });
    await campaignIs(id, { state: 'suspended' });
    expect(await app.mail.cancel(id)).toBe(true);
    await eventually(async () => {
      expect((await app.mail.queue()).batches).toMatchObject({ waiting: 0, delayed: 0, active: 0 });
    });
    expect(await app.mail.campaign(id)).toMatchObject({ state: 'cancelled', sent: 5, cancelled: 30 });
  });
});
