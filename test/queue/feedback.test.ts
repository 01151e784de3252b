import { Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import { beforeAll, describe, expect, it } from 'vitest';
import { MailQueueUnavailableError, MailValidationError } from '../../src/errors.js';
import type { FeedbackEvent, FeedbackRefusedEvent } from '../../src/events/events.js';
import type { Feedback, FeedbackType } from '../../src/feedback/feedback.js';
import { ReturnPaths } from '../../src/feedback/return-path.js';
import { OnMail } from '../../src/nest/on-mail.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import type { Acceptance, Outgoing, SendOptions } from '../../src/transport/transport.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import {
  autoReply,
  complaint,
  plainEximBounce,
  postfixBounce,
  qmailBounce,
  type BounceParts,
} from '../support/bounce-mails.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { IN_MEMORY, STORES } from '../support/stores.js';

const AT = new Date('2030-05-01T10:00:00Z');
let number = 0;

/** A report that has not come before. */
const report = (type: FeedbackType, address: string, rest: Partial<Feedback> = {}): Feedback => ({
  key: `report ${number++}`,
  type,
  source: 'courier',
  address,
  at: AT,
  match: {},
  ...rest,
});
const NONE = { bounced: 0, complained: 0, delivered: 0, opened: 0, clicked: 0, unsubscribed: 0 };

@Injectable()
class Heard {
  readonly events: FeedbackEvent[] = [];
  @OnMail('feedback', { from: 'all' })
  any(event: FeedbackEvent): void {
    this.events.push(event);
  }
  readonly refusals: FeedbackRefusedEvent[] = [];
  @OnMail('feedback-refused')
  refused(event: FeedbackRefusedEvent): void {
    this.refusals.push(event);
  }
  @OnMail('bounced')
  bounced(event: FeedbackEvent): void {
    this.events.push({ ...event, source: 'bounced' });
  }
}

const kinds = [...STORES.filter(({ name }) => name !== 'postgres'), { name: 'memory', create: async () => IN_MEMORY }];

describe.each(kinds)('on $name', (store) => {
  let app: MailApp;
  let ids: string[];
  let campaignId: string;
  const to = (n: number): string => `Reader${n}@readers.test`;

  beforeAll(async () => {
    const smtp = await startSmtpServer();
    const queue = { connection: await store.create(), batch: { size: 2 } };
    app = await startMail({ smtp: smtp.url, queue, providers: [Heard] });
    const recipients = [0, 1, 2].map((n) => ({ to: to(n) }));
    const campaign = await app.mail.sendBulk({ subject: 'x', text: 'x', recipients });
    campaignId = campaign.id;
    ids = [`${campaignId}-0.0`, `${campaignId}-0.1`, `${campaignId}-1.0`];
    await eventually(async () => expect((await app.mail.campaign(campaignId))?.state).toBe('completed'));
  });

  it('counts each recipient once in the report, whatever names the mail, and every report in stats()', async () => {
    expect(await app.mail.campaign(campaignId)).not.toHaveProperty('feedback');
    const receipt = await app.mail.feedback.report([
      report('bounced', to(0), {
        match: { id: ids[0]! },
        permanent: true,
        reply: '550 5.1.1\nNo such user',
        enhancedCode: '5.1.1',
      }),
      report('opened', to(1).toLowerCase(), { match: { messageId: `<${ids[1]}@shop.test>` } }),
      report('opened', to(1), { match: { id: ids[1]! } }),
      report('clicked', to(2), {
        match: { id: 'c_unknown-0.0', messageId: `<${ids[2]}@shop.test>` },
        url: 'https://shop.test/x',
      }),
      report('opened', 'stranger@readers.test', { match: { id: `${campaignId}-7.0`, messageId: 'nonsense' } }),
    ]);
    expect(receipt).toEqual({ accepted: 5, matched: 4, replayed: 0 });
    await app.mail.feedback.report(report('opened', to(1), { match: { id: ids[1]! } }));
    expect((await app.mail.campaign(campaignId))?.feedback).toEqual({ ...NONE, bounced: 1, opened: 1, clicked: 1 });
    const { feedback } = await app.mail.stats({ since: '1h' });
    expect(feedback.lanes.bulk).toEqual({ ...NONE, bounced: 1, opened: 3, clicked: 1 });
    expect(feedback.total).toEqual({ ...NONE, bounced: 1, opened: 4, clicked: 1 });
    const bounced = {
      at: AT,
      source: 'courier',
      permanent: true,
      enhancedCode: '5.1.1',
      reply: '550 5.1.1 No such user',
    };
    expect((await app.mail.status(ids[0]!))?.recipients).toMatchObject([{ state: 'sent', feedback: { bounced } }]);
    expect((await app.mail.status(ids[1]!))?.recipients[0]?.feedback).toEqual({
      opened: { at: AT, source: 'courier' },
    });
    expect(app.context.get(Heard).events).toMatchObject([
      { type: 'bounced', id: ids[0], campaignId, lane: 'bulk', messageId: `<${ids[0]}@shop.test>`, source: 'courier' },
      { type: 'bounced', source: 'bounced', address: to(0), at: AT },
      { type: 'opened', id: ids[1] },
      { type: 'opened', id: ids[1] },
      { type: 'clicked', id: ids[2], url: 'https://shop.test/x' },
      { type: 'opened', address: 'stranger@readers.test', source: 'courier' },
      { type: 'opened' },
    ]);
    expect(app.context.get(Heard).events[5]).not.toHaveProperty('id');
  });

  it('does nothing about a report that came before, also at the same time', async () => {
    const again = report('complained', to(2), { match: { id: ids[2]! } });
    const receipts = await Promise.all([0, 1, 2].map(() => app.mail.feedback.report([again, again])));
    expect(receipts.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(1);
    expect(await app.mail.feedback.report(again)).toEqual({ accepted: 0, matched: 0, replayed: 1 });
    const { feedback } = await app.mail.stats({ since: '1h' });
    expect(feedback.total.complained).toBe(1);
    expect(feedback.refused).toEqual({ courier: { replayed: 6 } });
    // The same key of another source is another report.
    expect(await app.mail.feedback.report({ ...again, source: 'other' })).toMatchObject({ accepted: 1 });
  });

  it('takes reports of priority mail', async () => {
    const { id } = await app.mail.send({ to: [to(0), to(1)], subject: 'x', text: 'x' });
    await eventually(() => app.mail.status(id));
    await app.mail.feedback.report(report('delivered', to(1), { match: { messageId: `<${id}@shop.test>` } }));
    const [first, second] = (await app.mail.status(id))!.recipients;
    expect(first).not.toHaveProperty('feedback');
    expect(second?.feedback).toEqual({ delivered: { at: AT, source: 'courier' } });
    expect((await app.mail.stats({ since: '1h', lane: 'priority' })).feedback.total).toEqual({ ...NONE, delivered: 1 });
  });
});

/** A provider that gives each mail an id of its own. */
class Numbering extends Mailbox {
  override async send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance> {
    const acceptance = await super.send(outgoing, options);
    return { ...acceptance, providerId: `<id-of-${outgoing.envelope.to.join()}@eu-west-1.amazonses.com>` };
  }
}

it.each([STORES[0]!, STORES[2]!])('knows a mail by what its provider calls it, on $name', async (store) => {
  const queue = { connection: await store.create() };
  const transports = [new Numbering()];
  const app = await startMail({ transports, queue, feedback: true });
  const { mail } = app;
  const { id: now } = await mail.send({ to: 'now@readers.test', subject: 'x', text: 'x' });
  const { id } = await mail.sendBulk({
    subject: 'x',
    text: 'x',
    recipients: [{ to: 'a@readers.test' }, { to: 'b@readers.test' }],
  });
  await eventually(async () => expect((await mail.campaign(id))?.state).toBe('completed'));
  const delivered = (to: string, match: Feedback['match']): Promise<unknown> =>
    mail.feedback.report(report('delivered', to, { match }));
  expect(await delivered('a@readers.test', { providerId: 'id-of-a@readers.test' })).toMatchObject({ matched: 1 });
  const messageId = '<id-of-b@readers.test@eu-west-1.amazonses.com>';
  expect(await delivered('b@readers.test', { messageId })).toMatchObject({ matched: 1 });
  expect((await mail.status(`${id}-0.1`))?.recipients[0]?.feedback).toHaveProperty('delivered');
  await eventually(async () =>
    expect(await delivered('now@readers.test', { providerId: 'id-of-now@readers.test' })).toMatchObject({ matched: 1 }),
  );
  expect((await mail.status(now))?.recipients[0]?.feedback).toHaveProperty('delivered');
  expect(await delivered('c@readers.test', { providerId: 'id-of-c@readers.test' })).toMatchObject({ matched: 0 });
  await app.close();
  // Not remembered where nobody asks for it.
  const other = await startMail({ transports, queue: { connection: await store.create() } });
  const second = await other.mail.sendBulk({ subject: 'x', text: 'x', recipients: [{ to: 'a@readers.test' }] });
  await eventually(async () => expect((await other.mail.campaign(second.id))?.state).toBe('completed'));
  const match = { providerId: 'id-of-a@readers.test' };
  expect(await other.mail.feedback.report(report('opened', 'a@readers.test', { match }))).toMatchObject({ matched: 0 });
});

describe('a report that comes as a mail', () => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  const bounces = { address: 'bounces@mail.shop.test', secret: 'x'.repeat(32) };
  const ann = 'Ann@readers.test';

  beforeAll(async () => {
    smtp = await startSmtpServer();
    app = await startMail({ smtp: smtp.url, queue: { connection: IN_MEMORY }, bounces, providers: [Heard] });
  });

  /** Sends a mail by either lane, and returns what its bounce is made of. */
  const sent = async (
    lane: 'priority' | 'bulk',
    to: string | string[] = ann,
  ): Promise<BounceParts & { id: string }> => {
    smtp.clear();
    // What the last one has reported holds.
    for (const address of [to].flat()) {
      await app.mail.suppressions.remove(address);
      await app.mail.suppressions.remove(address, { reason: 'unsubscribed' });
    }
    const { id, messageId } = await app.mail.send({ lane, to, subject: 'x', text: 'x' });
    await eventually(async () => expect((await app.mail.status(id))?.state).toBe('sent'));
    return { id, messageId, to: smtp.received[0]!.from, recipient: [to].flat()[0]! };
  };
  const refused = async (): Promise<number> =>
    (await app.mail.stats({ since: '1h' })).feedback.refused['dsn']?.['forged'] ?? 0;
  const TAKEN = { kind: 'report', accepted: 1, matched: 1, replayed: 0, forged: 0, ignored: 0 };
  const FORGED = { kind: 'report', accepted: 0, matched: 0, replayed: 0, forged: 1, ignored: 0 };

  it.each(['priority', 'bulk'] as const)('is told by the envelope sender on the %s lane', async (lane) => {
    const mail = await sent(lane);
    expect(mail.to).toMatch(/^bounces\+[\w.]+\.[\w-]{12}@mail\.shop\.test$/);
    // Neither who it was to nor which mail is in what came back.
    const raw = postfixBounce({ ...mail, recipient: 'forwarded@elsewhere.test', messageId: '<x@shop.test>' });
    expect(await app.mail.feedback.readMail(raw)).toEqual(TAKEN);
    expect(await app.mail.feedback.readMail(Readable.from([Buffer.from(raw)]))).toEqual({
      ...TAKEN,
      accepted: 0,
      matched: 0,
      replayed: 1,
    });
    const [recipient] = (await app.mail.status(mail.id))!.recipients;
    expect(recipient?.feedback?.bounced).toMatchObject({ permanent: true, enhancedCode: '5.1.1', source: 'dsn' });
    expect(app.context.get(Heard).events.at(-2)).toMatchObject({ type: 'bounced', id: mail.id, address: ann, lane });
  });

  it('is told by the Message-ID where the recipient is one of its', async () => {
    const mail = { ...(await sent('bulk', [ann, 'bob@readers.test'])), to: 'shop@shop.test' };
    expect(await app.mail.feedback.readMail(qmailBounce({ ...mail, recipient: 'ann@readers.test' }))).toEqual(TAKEN);
    const before = await refused();
    expect(await app.mail.feedback.readMail(qmailBounce({ ...mail, recipient: 'eve@readers.test' }))).toEqual(FORGED);
    expect(await refused()).toBe(before + 1);
  });

  it('is refused when nothing of it was signed here', async () => {
    const mail = await sent('bulk');
    const messageId = '<m_01234567890123456789.0@shop.test>';
    const forgeries = [
      { ...mail, messageId, to: mail.to.replace(/.@/, (last) => (last === 'x@' ? 'y@' : 'x@')) },
      { ...mail, messageId, to: mail.to.replace('mail.', '') },
      { ...mail, messageId, to: 'bounces@mail.shop.test' },
    ];
    for (const forgery of forgeries) expect(await app.mail.feedback.readMail(postfixBounce(forgery))).toEqual(FORGED);
    expect(app.context.get(Heard).refusals.at(-1)).toEqual({ source: 'dsn', reason: 'forged' });
  });

  it('suppresses nobody whom the mail did not go to, also long after it is forgotten', async () => {
    const paths = new ReturnPaths(bounces.address, [Buffer.from(bounces.secret)]);
    const to = paths.of('c_01234567890123456789-0.0', ['ann@readers.test']);
    const messageId = '<x@shop.test>';
    const recipient = 'ann@readers.test';
    expect(await app.mail.feedback.readMail(postfixBounce({ to, recipient, messageId }))).toEqual({
      ...TAKEN,
      matched: 0,
    });
    const eve = postfixBounce({ to, recipient: 'eve@readers.test', messageId });
    expect(await app.mail.feedback.readMail(eve)).toEqual(FORGED);
  });

  it('may come to an address that stands in no header', async () => {
    const mail = await sent('bulk');
    const raw = plainEximBounce({ ...mail, to: 'postmaster@shop.test', messageId: '<x@shop.test>' });
    expect(await app.mail.feedback.readMail(raw)).toEqual(FORGED);
    expect(await app.mail.feedback.readMail(raw, { to: mail.to })).toEqual(TAKEN);
  });

  it('may be a complaint in which the recipient is blacked out', async () => {
    const mail = await sent('bulk');
    const byMessageId = complaint({ ...mail, to: 'shop@shop.test' });
    expect(await app.mail.feedback.readMail(byMessageId)).toEqual(TAKEN);
    expect((await app.mail.status(mail.id))?.recipients[0]?.feedback).toHaveProperty('complained.source', 'arf');
    const other = await sent('bulk');
    expect(await app.mail.feedback.readMail(complaint({ ...other, messageId: '<x@shop.test>' }))).toEqual(TAKEN);
    expect(await app.mail.feedback.readMail(complaint(other, { type: 'not-spam' }))).toMatchObject({
      ignored: 1,
      accepted: 0,
    });
  });

  it('may be about a mail that is under way, or has arrived', async () => {
    const mail = await sent('bulk');
    const delayed = postfixBounce(mail, { action: 'delayed', status: '4.4.1' });
    expect(await app.mail.feedback.readMail(delayed)).toMatchObject({ accepted: 0, ignored: 1 });
    const relayed = postfixBounce(mail, { action: 'relayed', status: '2.0.0', reply: '250 2.0.0 Ok' });
    expect(await app.mail.feedback.readMail(relayed)).toEqual(TAKEN);
    expect((await app.mail.status(mail.id))?.recipients[0]?.feedback).toHaveProperty('delivered.reply', '250 2.0.0 Ok');
  });

  it('may be none', async () => {
    expect(await app.mail.feedback.readMail(autoReply(await sent('bulk')))).toEqual({ kind: 'auto-reply' });
    expect(await app.mail.feedback.readMail('Subject: x\r\n\r\nHello')).toEqual({ kind: 'no-report' });
  });
});

it('takes reports in a process without a worker, and tells those that listen elsewhere', async () => {
  const connection = await STORES[0]!.create();
  const worker = await startMail({ queue: { connection }, providers: [Heard] });
  const web = await startMail({ queue: { connection, worker: false } });
  await eventually(
    async () => {
      await web.mail.feedback.report(report('delivered', 'ann@readers.test'));
      const { events } = worker.context.get(Heard);
      expect(events.at(-1)).toMatchObject({ type: 'delivered', at: AT });
    },
    { within: 15_000 },
  );
});

it('refuses what is no report, and rejects while the store is away', async () => {
  const redis = await startRedis();
  const { mail } = await startMail({ queue: { connection: redis.url } });
  await expect(
    mail.feedback.report([report('opened', 'ann@readers.test'), report('opened', 'nobody')]),
  ).rejects.toThrow(new MailValidationError([{ path: '[1].address', message: 'must be an address' }]));
  await expect(mail.feedback.report(report('lost' as never, 'ann@readers.test'))).rejects.toThrow(
    /type: must be one of bounced/,
  );
  const kept = report('opened', 'ann@readers.test');
  await redis.stop();
  await expect(mail.feedback.report(kept)).rejects.toThrow(MailQueueUnavailableError);
  await redis.restart();
  await eventually(async () => expect(await mail.feedback.report(kept)).toMatchObject({ accepted: 1 }));
});
