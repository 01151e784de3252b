import { beforeAll, beforeEach, expect, it } from 'vitest';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let connection: string;
  let app: MailApp;
  /** Until the store has answered, in milliseconds. */
  let bootTime: number;

  const boot = async (queue = {}): Promise<MailApp> =>
    startMail({
      transports: [{ name: 'main', url: smtp.url, maxConnections: 1 }],
      queue: { connection, worker: { batches: 1 }, batch: { size: 20 }, ...queue },
    });
  const stateOf = async (id: string): Promise<string | undefined> => (await app.mail.status(id))?.state;
  const arrived = (): string[] => smtp.received.map(({ to }) => to[0]!.split('@')[0]!);
  const people = (prefix: string, count: number): { to: string }[] =>
    Array.from({ length: count }, (_, n) => ({ to: `${prefix}${n}@readers.test` }));

  beforeAll(async () => {
    smtp = await startSmtpServer();
    connection = await store.create();
    const before = Date.now();
    app = await boot();
    await app.mail.queue();
    bootTime = Date.now() - before;
  });
  beforeEach(() => smtp.clear());

  it('sends a scheduled mail not before its time, across a restart', async () => {
    const delay = 1_000 + 2 * bootTime;
    const at = Date.now() + delay;
    const scheduled = await app.mail.send({
      lane: 'bulk',
      to: 'later@readers.test',
      subject: 'x',
      text: 'x',
      sendAt: new Date(at),
    });
    const delayed = await app.mail.send({
      lane: 'bulk',
      to: 'delayed@readers.test',
      subject: 'x',
      text: 'x',
      delay,
    });
    const campaign = await app.mail.sendBulk({ subject: 'x', text: 'x', sendAt: at, recipients: people('c', 3) });
    expect(await stateOf(scheduled.id)).toBe('scheduled');
    expect(await stateOf(delayed.id)).toBe('scheduled');
    await app.close();
    app = await boot();
    expect(await stateOf(scheduled.id)).toBe('scheduled');
    await eventually(async () => expect((await app.mail.campaign(campaign.id))?.state).toBe('completed'), {
      within: 20_000,
    });
    await eventually(() => expect(arrived().sort()).toEqual(['c0', 'c1', 'c2', 'delayed', 'later']));
    expect(Math.min(...smtp.received.map((mail) => mail.at))).toBeGreaterThanOrEqual(at);
  }, 60_000);

  it('does not send what has expired', async () => {
    await app.mail.pause();
    const expiresAt = Date.now() + 300;
    const soon = await app.mail.send({ lane: 'bulk', to: 'soon@readers.test', subject: 'x', text: 'x', expiresAt });
    const campaign = await app.mail.sendBulk({ subject: 'x', text: 'x', expiresAt, recipients: people('e', 2) });
    await eventually(() => expect(Date.now()).toBeGreaterThan(expiresAt));
    await app.mail.resume();
    await eventually(async () => expect(await stateOf(soon.id)).toBe('expired'));
    await eventually(async () =>
      expect(await app.mail.campaign(campaign.id)).toMatchObject({ state: 'completed', expired: 2 }),
    );
    expect(smtp.received).toHaveLength(0);
  });

  it('orders the bulk lane by urgency, single mails before campaigns', async () => {
    await app.mail.pause();
    await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('campaign', 2) });
    for (const urgency of ['low', 'normal', 'high'] as const) {
      await app.mail.send({ lane: 'bulk', urgency, to: `${urgency}@readers.test`, subject: 'x', text: 'x' });
    }
    await app.mail.resume();
    await eventually(() => expect(smtp.received).toHaveLength(5));
    expect(arrived()).toEqual(['high', 'normal', 'campaign0', 'campaign1', 'low']);
  });

  it('lets a small campaign pass a large one that was there before', async () => {
    await app.mail.pause();
    const large = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('large', 400) });
    const small = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('small', 20) });
    await app.mail.resume();
    await eventually(async () => expect((await app.mail.campaign(large.id))?.state).toBe('completed'), {
      within: 20_000,
    });
    expect((await app.mail.campaign(small.id))?.state).toBe('completed');
    const last = arrived().findLastIndex((name) => name.startsWith('small'));
    // Its one batch of 20 waits for the first batch of the large one, and no more.
    expect(last).toBeLessThan(60);
  });

  it('hands a slow batch back, so that others get their turn', async () => {
    await app.close();
    app = await boot({ batch: { size: 1_000, maxDuration: '200ms' } });
    await app.mail.pause();
    const large = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people('slow', 1_000) });
    await app.mail.resume();
    await eventually(() => expect(smtp.received.length).toBeGreaterThan(10));
    const single = await app.mail.send({ lane: 'bulk', to: 'quick@readers.test', subject: 'x', text: 'x' });
    await eventually(async () => expect(await stateOf(single.id)).toBe('sent'));
    expect((await app.mail.campaign(large.id))?.state).toBe('running');
    await eventually(async () => expect((await app.mail.campaign(large.id))?.state).toBe('completed'), {
      within: 20_000,
    });
    expect(new Set(arrived()).size).toBe(1_001);
    expect(smtp.received).toHaveLength(1_001);
  });
});
