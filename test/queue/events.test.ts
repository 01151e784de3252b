import { beforeAll, beforeEach, expect, it } from 'vitest';
import type { MailEventName, MailEvents } from '../../src/events/events.js';
import { LedgerView, type Ledger } from '../../src/delivery/ledger.js';
import type { MailEngine } from '../../src/nest/mail-engine.js';
import type { Batch } from '../../src/queue/batch.js';
import { BatchEvents } from '../../src/queue/batch-events.js';
import { Statistics } from '../../src/queue/statistics.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';

const NAMES = [
  'queued',
  'campaign-queued',
  'sent',
  'deferred',
  'failed',
  'cancelled',
  'expired',
  'batch-completed',
  'campaign-completed',
] as const;

let smtp: TestSmtpServer;
let app: MailApp;
let refuse: (address: string) => Refusal | undefined;
let heard: { name: MailEventName; event: MailEvents[MailEventName] }[] = [];
const told = <Name extends MailEventName>(name: Name): MailEvents[Name][] =>
  heard.filter((one) => one.name === name).map(({ event }) => event as MailEvents[Name]);

function listen({ context }: MailApp): void {
  const { events } = context.get<MailEngine>('MailEngine(default)', { strict: false }).mailer;
  for (const name of NAMES) events.on(name, (event) => heard.push({ name, event }));
}

beforeAll(async () => {
  smtp = await startSmtpServer({ onRcpt: (address) => refuse(address) });
  const { url } = await startRedis();
  app = await startMail({
    smtp: smtp.url,
    queue: { connection: url, batch: { size: 10 } },
    priority: { overflow: 'queue' },
  });
  listen(app);
});
beforeEach(() => {
  heard = [];
  refuse = () => undefined;
});

const milliseconds = expect.any(Number) as number;
const people = (count: number) => Array.from({ length: count }, (_, n) => ({ to: `r${n}@readers.test` }));

it('tells what becomes of a queued message, each time once for all recipients it happened to', async () => {
  let tries = 0;
  refuse = (address) => {
    if (address === 'bob@mail.test') return { code: 550, text: '5.1.1 No such user' };
    if (address.startsWith('cy') && tries++ < 2) return { code: 450, text: '4.2.1 Try later' };
    return undefined;
  };
  const { id, messageId } = await app.mail.send({
    lane: 'bulk',
    to: ['ann@mail.test', 'bob@mail.test'],
    cc: ['cy@mail.test', 'cyra@mail.test'],
    subject: 'x',
    text: 'x',
  });
  const all = ['ann@mail.test', 'bob@mail.test', 'cy@mail.test', 'cyra@mail.test'];
  const about = { id, messageId, lane: 'bulk' };
  expect(told('queued')).toEqual([{ ...about, recipients: all, laneBy: 'message' }]);
  await eventually(() => expect(told('batch-completed')).toHaveLength(1));
  const answer = { transport: 'main', reply: expect.stringMatching(/^250/) as string };
  const spent = { duration: milliseconds, queuedFor: milliseconds };
  expect(told('sent')).toEqual([
    { ...about, recipients: ['ann@mail.test'], ...answer, attempts: 1, ...spent },
    { ...about, recipients: ['cy@mail.test', 'cyra@mail.test'], ...answer, attempts: 2, ...spent },
  ]);
  expect(told('failed')).toEqual([
    {
      ...about,
      recipients: ['bob@mail.test'],
      transport: 'main',
      reply: expect.stringMatching(/No such user/) as string,
      replyCode: 550,
      enhancedCode: '5.1.1',
      outcome: 'not-sent',
      attempts: 1,
      duration: milliseconds,
    },
  ]);
  expect(told('deferred')).toEqual([
    {
      ...about,
      recipients: ['cy@mail.test', 'cyra@mail.test'],
      transport: 'main',
      reply: expect.stringMatching(/Try later/) as string,
      replyCode: 450,
      enhancedCode: '4.2.1',
      attempts: 1,
      busy: false,
      nextAttemptAt: expect.any(Date) as Date,
    },
  ]);
  const [batch] = told('batch-completed');
  expect(batch).toEqual({
    batchId: id.split('.')[0],
    size: 1,
    sent: 3,
    failed: 1,
    cancelled: 0,
    suppressed: 0,
    expired: 0,
    ...spent,
  });
});

it('tells of a message when that is durable, and nothing that could not be recorded', async () => {
  const emitted: string[] = [];
  const told = { wants: () => true, emit: (name: string) => void emitted.push(name) };
  const shared = {
    from: { name: '', address: 'a@shop.test' },
    replyTo: [],
    headers: [],
    attachments: [],
    cc: [],
    bcc: [],
  };
  const head = { v: 2, id: 'm_1', createdAt: 1, urgency: 'normal' } as const;
  const batch: Batch = { ...head, shared, items: [{ to: 'ann@mail.test' }] };
  const sent = { slot: '0', at: 2, kind: 'sent', transport: 'main', reply: '250' } as const;
  const tell = (committed: Promise<void>): void => {
    const ledger = { view: new LedgerView([sent]), committed: () => committed } as unknown as Ledger;
    const events = new BatchEvents(batch, ledger, told, new Statistics(undefined, () => undefined));
    events.settled(0, [sent], { duration: 1 });
  };
  tell(Promise.reject(new Error('The store is away')));
  let commit!: () => void;
  tell(new Promise((resolve) => (commit = resolve)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(emitted).toEqual([]);
  commit();
  await eventually(() => expect(emitted).toEqual(['sent']));
});

it('tells what cannot be made, what was cancelled and what has expired', async () => {
  await app.mail.pause();
  const sendAt = new Date(Date.now() + 3_600_000);
  const scheduled = await app.mail.send({ lane: 'bulk', to: 'ann@mail.test', subject: 'x', text: 'x', sendAt });
  const expiresAt = Date.now() + 20;
  const late = await app.mail.send({ lane: 'bulk', to: 'bob@mail.test', subject: 'x', text: 'x', expiresAt });
  const { id } = await app.mail.sendBulk({ subject: 'Hi {{name}}', text: 'x', recipients: people(1) });
  const stopped = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients: people(12) });
  await app.mail.cancel(stopped.id);
  expect(told('queued')[0]).toMatchObject({ id: scheduled.id, sendAt });
  await eventually(() => Date.now() > expiresAt);
  await app.mail.resume();
  await eventually(() => expect(told('batch-completed')).toHaveLength(4));
  expect(told('expired')).toEqual([
    { id: late.id, messageId: late.messageId, lane: 'bulk', recipients: ['bob@mail.test'] },
  ]);
  expect(told('failed')).toEqual([
    expect.objectContaining({ campaignId: id, attempts: 0, reply: expect.stringMatching(/name/) as string }),
  ]);
  expect(told('cancelled')).toHaveLength(12);
  expect(told('cancelled')[0]).toMatchObject({ campaignId: stopped.id, recipients: ['r0@readers.test'] });
  await eventually(() => expect(told('campaign-completed').map(({ campaignId }) => campaignId)).toEqual([id]));
  await app.mail.cancel(scheduled.id);
});

it('tells of a campaign when it is queued and when it is complete, and again when what failed was retried', async () => {
  refuse = (address) => (address === 'r7@readers.test' ? { code: 550, text: '5.1.1 No' } : undefined);
  const { id } = await app.mail.sendBulk({
    name: 'News',
    subject: 'x',
    text: 'x',
    recipients: [...people(35), { to: 'r1@readers.test' }, { to: 'nobody' }],
  });
  const queued = { queued: 35, duplicates: 1, rejected: 1, duration: milliseconds };
  expect(told('campaign-queued')).toEqual([{ campaignId: id, name: 'News', ...queued }]);
  await eventually(() => expect(told('campaign-completed')).toHaveLength(1));
  const report = (await app.mail.campaign(id))!;
  expect(told('campaign-completed')).toEqual([
    expect.objectContaining({ campaignId: id, name: 'News', total: 35, sent: 34, failed: 1, cancelled: 0, expired: 0 }),
  ]);
  expect(told('campaign-completed')[0]).toMatchObject({ startedAt: report.startedAt, finishedAt: report.finishedAt });
  expect(told('sent')).toHaveLength(34);
  expect(told('queued')).toHaveLength(0);

  refuse = () => undefined;
  expect(await app.mail.retryFailed(id)).toBe(1);
  await eventually(() => expect(told('campaign-completed')).toHaveLength(2));
  expect(told('campaign-completed')[1]).toMatchObject({ sent: 35, failed: 0 });
});

it('tells what becomes of a priority message, and what decided on its lane', async () => {
  refuse = (address) => (address === 'bob@mail.test' ? { code: 550, text: '5.1.1 No such user' } : undefined);
  const { id, messageId } = await app.mail.send({ to: ['ann@mail.test', 'bob@mail.test'], subject: 'x', text: 'x' });
  const about = { id, messageId, lane: 'priority', laneBy: 'defaultLane', attempts: 1, duration: milliseconds };
  const refused = { replyCode: 550, enhancedCode: '5.1.1', reply: expect.stringMatching(/No such/) as string };
  const sent = { transport: 'main', reply: expect.stringMatching(/^250/) as string };
  expect(told('sent')).toEqual([{ ...about, ...sent, recipients: ['ann@mail.test'] }]);
  const failed = { ...about, ...refused, transport: 'main', outcome: 'not-sent' };
  expect(told('failed')).toEqual([{ ...failed, recipients: ['bob@mail.test'] }]);

  await expect(app.mail.send({ to: 'bob@mail.test', subject: 'x', text: 'x' })).rejects.toThrow(/No such user/);
  const [, second] = told('failed');
  expect(second).toEqual({ ...failed, id: second!.id, messageId: second!.messageId, recipients: ['bob@mail.test'] });

  const expiresAt = Date.now() + 1;
  await eventually(() => Date.now() > expiresAt);
  await expect(app.mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x', expiresAt })).rejects.toThrow(/expired/);
  expect(told('expired')).toEqual([expect.objectContaining({ lane: 'priority', recipients: ['ann@mail.test'] })]);
});

it('tells that a priority message went over to the queue, and not that it has failed', async () => {
  refuse = () => ({ code: 451, text: '4.3.0 Not now' });
  const receipt = await app.mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' });
  expect(receipt.status).toBe('queued');
  refuse = () => undefined;
  await eventually(() => expect(told('sent')).toHaveLength(1));
  expect(told('queued')).toEqual([expect.objectContaining({ id: receipt.id, lane: 'bulk', laneBy: 'overflow' })]);
  expect(told('sent')[0]).toMatchObject({ id: receipt.id, lane: 'bulk' });
  expect(told('failed')).toEqual([]);
});
