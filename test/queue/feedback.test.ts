import { createSecretKey } from 'node:crypto';
import { Readable } from 'node:stream';
import { Injectable, Logger } from '@nestjs/common';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { MailQueueUnavailableError, MailValidationError } from '../../src/errors.js';
import type { FeedbackEvent, FeedbackRefusedEvent } from '../../src/events/events.js';
import type { Feedback, FeedbackType } from '../../src/feedback/feedback.js';
import { parseFeedback } from '../../src/feedback/parse-feedback.js';
import { ReturnPaths } from '../../src/feedback/return-path.js';
import type { Suppression, SuppressionList } from '../../src/feedback/suppression.js';
import { OnMail } from '../../src/nest/on-mail.js';
import { FeedbackIntake } from '../../src/queue/feedback/intake.js';
import type { KnownMail } from '../../src/queue/feedback/known-mail.js';
import { MailReports } from '../../src/queue/feedback/mail-reports.js';
import { MailLookup } from '../../src/queue/feedback/mail-lookup.js';
import { countsField, readCounts, readReports, writeReports } from '../../src/queue/feedback/reports.js';
import type { Fields, Records } from '../../src/store/records.js';
import { Sealer, UNSEALED, type SealingKey } from '../../src/store/sealing.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { Memory } from '../../src/testing/memory-store.js';
import type { Acceptance, Outgoing, SendOptions } from '../../src/transport/transport.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import {
  autoReply,
  complaint,
  gmailBounce,
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
  const TAKEN = { kind: 'report', accepted: 1, matched: 1, replayed: 0, forged: 0, unmatched: 0, ignored: 0 };
  const FORGED = { kind: 'report', accepted: 0, matched: 0, replayed: 0, forged: 1, unmatched: 0, ignored: 0 };

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

  it('counts by its Message-ID alone where mails have no return path, and then suppresses nobody', async () => {
    const bare = await startMail({ transports: [new Mailbox()], queue: { connection: IN_MEMORY }, providers: [Heard] });
    const to = [ann, 'bob@readers.test'];
    const { id, messageId } = await bare.mail.send({ lane: 'bulk', to, subject: 'x', text: 'x' });
    await eventually(async () => expect((await bare.mail.status(id))?.state).toBe('sent'));
    const mail = { to: 'shop@shop.test', recipient: 'ann@readers.test', messageId };
    expect(await bare.mail.feedback.readMail(qmailBounce(mail))).toEqual(TAKEN);
    expect(bare.context.get(Heard).events.at(-1)).toMatchObject({ address: ann, permanent: true });
    expect((await bare.mail.status(id))?.recipients[0]?.feedback).toHaveProperty('bounced');
    expect(await bare.mail.feedback.readMail(qmailBounce({ ...mail, recipient: 'eve@readers.test' }))).toEqual(FORGED);
    const own = await bare.mail.send({ lane: 'bulk', to: ann, subject: 'x', text: 'x' });
    expect(await bare.mail.feedback.readMail(complaint({ ...mail, messageId: own.messageId }))).toEqual(TAKEN);
    for (const address of to) expect(await bare.mail.suppressions.get(address)).toEqual([]);
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
    // Whoever has a mail of ours knows its Message-ID, and those of the others.
    const before = await refused();
    const known = { ...mail, to: 'bounces@mail.shop.test' };
    for (const forged of [complaint(known), qmailBounce(known), postfixBounce(known)]) {
      expect(await app.mail.feedback.readMail(forged)).toEqual(FORGED);
    }
    expect(await refused()).toBe(before + 2);
    expect(await app.mail.suppressions.get(ann)).toEqual([]);
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

  it('needs a campaign id for which an address has room, and a longer one is warned of', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn');
    const send = (id: string) => app.mail.sendBulk({ id, subject: 'x', text: 'x', recipients: [{ to: ann }] });
    await send('x'.repeat(32));
    expect(warn).not.toHaveBeenCalled();
    await send('x'.repeat(33));
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('Give it a shorter one'));
    warn.mockRestore();
  });

  it('may come to an address that stands in no header', async () => {
    const mail = await sent('bulk');
    const raw = plainEximBounce({ ...mail, to: 'postmaster@shop.test', messageId: '<x@shop.test>' });
    expect(await app.mail.feedback.readMail(raw)).toEqual(FORGED);
    expect(await app.mail.feedback.readMail(raw, { to: mail.to })).toEqual(TAKEN);
  });

  it('may be a complaint in which the recipient is blacked out', async () => {
    const mail = await sent('bulk');
    expect(await app.mail.feedback.readMail(complaint({ ...mail, messageId: '<x@shop.test>' }))).toEqual(TAKEN);
    expect((await app.mail.status(mail.id))?.recipients[0]?.feedback).toHaveProperty('complained.source', 'arf');
    expect(await app.mail.suppressions.get(ann)).toMatchObject([{ reason: 'complaint' }]);
    expect(await app.mail.feedback.readMail(complaint(mail, { type: 'not-spam' }))).toMatchObject({
      ignored: 1,
      accepted: 0,
    });
  });

  it('may be about a mail that is under way, or has arrived', async () => {
    const mail = await sent('bulk');
    const delayed = postfixBounce(mail, { action: 'delayed', status: '4.4.1' });
    expect(await app.mail.feedback.readMail(delayed)).toMatchObject({ accepted: 0, ignored: 1 });
    for (const action of ['relayed', 'expanded', 'delivered']) {
      const arrived = postfixBounce(mail, { action, status: '2.0.0', reply: '250 2.0.0 Ok' });
      const reading = action === 'delivered' ? TAKEN : { ...TAKEN, accepted: 0, matched: 0, ignored: 1 };
      expect(await app.mail.feedback.readMail(arrived)).toEqual(reading);
    }
    expect((await app.mail.status(mail.id))?.recipients[0]?.feedback).toHaveProperty('delivered.reply', '250 2.0.0 Ok');
  });

  it('may be none', async () => {
    expect(await app.mail.feedback.readMail(autoReply(await sent('bulk')))).toEqual({ kind: 'auto-reply' });
    expect(await app.mail.feedback.readMail('Subject: x\r\n\r\nHello')).toEqual({ kind: 'no-report' });
  });
});

describe('a report that comes as a mail long after', () => {
  const paths = new ReturnPaths('bounces@shop.test', [Buffer.alloc(32, 'x')]);
  const id = 'weekly-0.0';
  const [ann, bob] = ['ann@readers.test', 'bob@readers.test'] as const;
  const read = async (raw: string) => {
    const looked: string[] = [];
    const refusals: string[] = [];
    const reported: Feedback[] = [];
    const intake = {
      refuse: (source: string, reason: string) => void refusals.push(`${source} ${reason}`),
      report: (reports: readonly Feedback[]) => {
        reported.push(...reports);
        return Promise.resolve({ accepted: reports.length, matched: 0, replayed: 0 });
      },
    };
    // Of a campaign whose messages are past retention.
    const find = (found: string): Promise<KnownMail | undefined> => {
      looked.push(found);
      return Promise.resolve(found === id ? { id, lane: 'bulk', campaignId: 'weekly' } : undefined);
    };
    const reports = new MailReports(intake as never, { find } as never, paths);
    return { reading: await reports.take(Buffer.from(raw), undefined), looked, refusals, reported };
  };
  const parts = { to: paths.of(id, [ann]), recipient: ann, messageId: '<x@shop.test>' };

  it('holds for whom it names, and counts as none of ours nor as forged where it names nobody', async () => {
    expect((await read(postfixBounce(parts))).reported).toMatchObject([{ address: ann, match: { id } }]);
    const blackedOut = await read(complaint(parts));
    expect(blackedOut.reading).toMatchObject({ accepted: 0, forged: 0, unmatched: 1 });
    expect(blackedOut.refusals).toEqual(['arf unmatched']);
    const shared = await read(postfixBounce({ ...parts, to: paths.of(id, [ann, bob]) }));
    expect(shared.reading).toMatchObject({ accepted: 0, forged: 0, unmatched: 1 });
    expect((await read(complaint({ ...parts, to: paths.of('other-0.0', [ann]) }))).refusals).toEqual(['arf forged']);
  });

  it('may not say when it was, since nobody vouches for that', async () => {
    const before = new Date();
    const { reported } = await read(gmailBounce(parts).replace('02 May 2019', '02 May 2099'));
    expect(reported[0]!.at.getTime()).toBeGreaterThanOrEqual(before.getTime());
    expect(reported[0]!.at.getTime()).toBeLessThanOrEqual(Date.now());
    expect((await read(gmailBounce(parts))).reported).toMatchObject([{ at: new Date('2019-05-02T10:00:04Z') }]);
  });

  it('costs a few look-ups, however much it claims', async () => {
    const one = postfixBounce({ ...parts, to: 'shop@shop.test' });
    const recipient = /Final-Recipient[^]*?\r\n\r\n/.exec(one)![0];
    const others = Array.from(
      { length: 40 },
      (_, n) => `bounces+p_${String(n).padStart(20, '0')}.aaaaaaaaaaaa@shop.test`,
    );
    const raw = one.replace('To: shop@shop.test', `To: ${others.join(', ')}`).replace(recipient, recipient.repeat(99));
    const { reading, looked, refusals } = await read(raw);
    expect(reading).toMatchObject({ accepted: 0, forged: 99 });
    expect(looked).toHaveLength(5);
    expect(refusals).toEqual(['dsn forged']);
  });
});

it('suppresses nobody by what nobody vouches for, and finds a list by the record of its campaign', async () => {
  const { mail } = await startMail({ transports: [new Mailbox()], queue: { connection: IN_MEMORY } });
  const recipients = [{ to: 'ann@readers.test' }];
  const { id } = await mail.sendBulk({ list: 'weekly', subject: 'x', text: 'x', recipients });
  const match = { id: `${id}-0.0` };
  const bounced = (address: string) => report('bounced', address, { match, permanent: true });
  const unsigned = (address: string) => mail.feedback.report(bounced(address), { signed: false });
  expect(await unsigned('ceo@victim.test')).toMatchObject({ accepted: 1, matched: 0 });
  expect(await unsigned('Ann@readers.test')).toMatchObject({ accepted: 1, matched: 1 });
  for (const to of ['ceo@victim.test', 'ann@readers.test']) expect(await mail.suppressions.get(to)).toEqual([]);
  await mail.feedback.report(report('unsubscribed', 'ann@readers.test', { match }));
  expect(await mail.suppressions.get('ann@readers.test')).toMatchObject([{ scope: 'list:weekly' }]);
});

it('is not kept from taking reports by one that the list of the application refuses', async () => {
  const added: string[] = [];
  const add = (suppressions: readonly Suppression[]): Promise<void> => {
    if (suppressions.some(({ address }) => address === 'odd@readers.test')) throw new Error('odd');
    added.push(...suppressions.map(({ address }) => address));
    return Promise.resolve();
  };
  const list: SuppressionList = {
    find: () => Promise.resolve(new Map<string, Suppression>()),
    get: () => Promise.resolve([]),
    add,
    remove: () => Promise.resolve(false),
    list: () => Readable.from([]),
  };
  const { mail } = await startMail({
    transports: [new Mailbox()],
    queue: { connection: IN_MEMORY },
    suppression: { list },
  });
  const bounced = ['ann@readers.test', 'odd@readers.test', 'bob@readers.test'].map((to) =>
    report('bounced', to, { permanent: true }),
  );
  const results = await Promise.allSettled(bounced.map((one) => mail.feedback.report(one)));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(results[1]).toMatchObject({ reason: { message: 'The suppression list did not take what was reported: odd' } });
  expect(added).toEqual(['ann@readers.test', 'bob@readers.test']);
  // It is no replay when it comes again.
  await expect(mail.feedback.report(bounced[1]!)).rejects.toThrow('odd');
});

const DAY = 24 * 3_600_000;

/** In a process of its own, on records that others may use too. */
function intakeOn(records: Records): FeedbackIntake {
  const parts = {
    records,
    sealer: UNSEALED,
    mails: { match: () => Promise.resolve(undefined) },
    statistics: { countFeedback: () => undefined, refuse: () => undefined },
    events: { wants: () => false, emit: () => undefined },
  };
  const suppress = { bounces: false, complaints: false, unsubscribes: false, rejections: false } as const;
  const settings = { remember: 3_600_000, providerIds: false, suppress } as const;
  return new FeedbackIntake(parts as never, settings, { message: DAY, campaign: 90 * DAY });
}

it('tells on the repeat what it had marked before the store failed', async () => {
  const records = new Memory().records;
  const put = records.putIfAbsent.bind(records);
  let failures = 1;
  records.putIfAbsent = async (...mark) => {
    const isNew = await put(...mark);
    if (failures-- > 0) throw new Error('the connection was lost');
    return isNew;
  };
  const intake = intakeOn(records);
  const two = [report('opened', 'ann@readers.test'), report('opened', 'bob@readers.test')];
  await expect(intake.report(two, 'signed')).rejects.toThrow('the connection was lost');
  expect(await intake.report(two, 'signed')).toMatchObject({ accepted: 2, replayed: 0 });
  expect(await intake.report(two, 'signed')).toMatchObject({ accepted: 0, replayed: 2 });
});

it('does not tell on the repeat what another process has taken since the store failed', async () => {
  const records = new Memory().records;
  const intake = intakeOn(records);
  const lost = vi.spyOn(records, 'putIfAbsent').mockRejectedValueOnce(new Error('the connection was lost'));
  const one = [report('opened', 'ann@readers.test')];
  await expect(intake.report(one, 'signed')).rejects.toThrow('the connection was lost');
  expect(lost).toHaveBeenCalledTimes(1);
  expect(await intakeOn(records).report(one, 'signed')).toMatchObject({ accepted: 1 });
  expect(await intake.report(one, 'signed')).toMatchObject({ accepted: 0, replayed: 1 });
});

it.each([
  ['signed', 3_600_000],
  ['nobody', 3_600_000],
  ['signed-mail', 90 * DAY],
  ['mail', 90 * DAY],
] as const)('knows a report again for its time, and one that came as a mail for longer: %s', async (trust, time) => {
  vi.useFakeTimers({ toFake: ['Date'], now: AT });
  onTestFinished(() => void vi.useRealTimers());
  const intake = intakeOn(new Memory().records);
  const one = [report('opened', 'ann@readers.test')];
  expect(await intake.report(one, trust)).toMatchObject({ accepted: 1 });
  vi.setSystemTime(AT.getTime() + time - 1);
  expect(await intake.report(one, trust)).toMatchObject({ replayed: 1 });
  vi.setSystemTime(AT.getTime() + time + 1);
  expect(await intake.report(one, trust)).toMatchObject({ accepted: 1 });
});

it('counts of what several processes have counted for a batch the most, in whatever order they come', () => {
  const counted = (batch: string, writer: string, counts: object) =>
    countsField(batch, 'weekly', writer, { ...NONE, ...counts });
  const fields = [
    counted('weekly-0', 'one', { bounced: 2, opened: 1 }),
    counted('weekly-0', 'two', { bounced: 1, opened: 3 }),
    counted('weekly-1', 'one', { bounced: 1 }),
  ];
  expect(readCounts(Object.assign({}, ...fields) as Fields)).toEqual({ ...NONE, bounced: 3, opened: 3 });
});

it('reads what a report names once in a minute, and again at once where that failed', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const get = vi.fn(() => Promise.resolve([undefined]));
  const getJob = vi.fn(() => Promise.resolve(undefined));
  const lookup = new MailLookup({ getJob } as never, { get } as never, undefined as never, UNSEALED);
  get.mockRejectedValueOnce(new Error('the store is away'));
  await expect(lookup.find('weekly-0.0', 'existence')).rejects.toThrow('the store is away');
  getJob.mockRejectedValueOnce(new Error('the store is away'));
  await expect(lookup.find('weekly-0.0')).rejects.toThrow('the store is away');
  const asked = () => [get.mock.calls.length, getJob.mock.calls.length];
  expect(asked()).toEqual([1, 1]);
  for (const index of [0, 1, 2]) {
    for (const wanted of ['existence', 'recipients'] as const) {
      expect(await lookup.find(`weekly-0.${index}`, wanted)).toBeUndefined();
    }
  }
  expect(asked()).toEqual([2, 2]);
  vi.setSystemTime(Date.now() + 60_000);
  expect(await lookup.find('weekly-0.0', 'existence')).toBeUndefined();
  expect(asked()).toEqual([3, 3]);
});

it('knows a recipient by the names that earlier keys have made', async () => {
  const key = (id: string): SealingKey => ({ id, key: createSecretKey(Buffer.alloc(32, id)) });
  const records = new Memory().records;
  const id = 'weekly-0.0';
  for (const keys of [[], [key('old')], [key('new'), key('old')]]) {
    const sealer = new Sealer(keys);
    const opened = report('opened', 'ann@readers.test');
    await records.merge(await writeReports([{ feedback: opened, mail: { id } }], records, sealer));
    const [fields] = await records.get(['reports/weekly-0']);
    expect(Object.keys(fields!)).toHaveLength(1);
    expect(readReports(id, fields, sealer)('Ann@readers.test')).toEqual({ opened: { at: AT, source: 'courier' } });
  }
});

it('keeps the beginning of what a server says, and of a link', () => {
  const said = { reply: `550\n${'x'.repeat(2_000)}`, url: `https://shop.test/${'x'.repeat(3_000)}` };
  const parsed = parseFeedback(report('bounced', 'ann@readers.test', said), '');
  expect(parsed).toMatchObject({
    feedback: { reply: `550 ${'x'.repeat(496)}`, url: said.url.slice(0, 2_048) },
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
  for (const wrong of [{ match: { providerId: 12345 } }, { reply: 550 }, { permanent: 'yes' }, { list: ['x'] }]) {
    const faulty = report('bounced', 'ann@readers.test', wrong as never);
    await expect(mail.feedback.report(faulty)).rejects.toThrow(MailValidationError);
  }
  const kept = report('opened', 'ann@readers.test');
  await redis.stop();
  await expect(mail.feedback.report(kept)).rejects.toThrow(MailQueueUnavailableError);
  await redis.restart();
  await eventually(async () => expect(await mail.feedback.report(kept)).toMatchObject({ accepted: 1 }));
});
