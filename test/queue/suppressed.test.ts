import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { onTestFinished } from 'vitest';
import type { SuppressedMail, Suppression, SuppressionList } from '../../src/feedback/suppression.js';
import { MailDeliveryError } from '../../src/errors.js';
import type { Interceptor } from '../../src/delivery/interceptors.js';
import { redirectTo } from '../../src/delivery/redirect.js';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { IN_MEMORY } from '../support/stores.js';

const since = new Date('2026-11-20T10:00:00Z');
const bounced = { reason: 'hard-bounce', since, note: '550 5.1.1 No such user' } as const;
const BOUNCED = 'Suppressed: hard bounce on 2026-11-20 (550 5.1.1 No such user)';

let smtp: TestSmtpServer;
let app: MailApp;
let intercept: Interceptor;

beforeAll(async () => {
  smtp = await startSmtpServer({ delay: 20 });
  app = await startMail({
    transports: [{ name: 'main', url: smtp.url, maxConnections: 1 }],
    queue: { connection: (await startRedis()).url },
    suppression: { priority: 'hard-bounces' },
    intercept: (mail) => intercept(mail),
  });
});
beforeEach(() => {
  intercept = () => undefined;
});
afterEach(async () => {
  smtp.clear();
  for await (const { address, reason } of app.mail.suppressions.list()) {
    await app.mail.suppressions.remove(address, { reason });
  }
});

const receivers = (): string[] => smtp.received.flatMap(({ to }) => to).sort();
const completed = (id: string) =>
  eventually(async () => {
    const report = await app.mail.campaign(id);
    expect(report?.state).toBe('completed');
    return report!;
  });
const settled = (id: string): Promise<MailStatus> =>
  eventually(async () => {
    const status = await app.mail.status(id);
    expect(['sent', 'cancelled', 'failed']).toContain(status?.state);
    return status!;
  });
function heard(event: string): object[] {
  const messages: object[] = [];
  const listen = (message: unknown): void => void messages.push(message as object);
  subscribe(`nestjs-priority-mail:${event}`, listen);
  onTestFinished(() => void unsubscribe(`nestjs-priority-mail:${event}`, listen));
  return messages;
}

describe('a campaign', () => {
  const recipients = ['ann', 'bob', 'cid', 'dan', 'eve'].map((name) => ({ to: `${name}@readers.test` }));

  it('leaves out who is suppressed for all mail, for bulk mail, or for its list', async () => {
    await app.mail.suppressions.add([
      { address: 'Ann@Readers.test', ...bounced },
      { address: 'bob@readers.test', reason: 'complaint', since },
      { address: 'cid@readers.test', scope: 'list:news', reason: 'unsubscribed', since },
      { address: 'dan@readers.test', scope: 'list:offers', reason: 'unsubscribed', since },
    ]);
    const [cancelled, done] = [heard('cancelled'), heard('campaign-completed')];
    const before = (await app.mail.stats({ since: '1h' })).lanes.bulk;
    const { id } = await app.mail.sendBulk({ subject: 'News', text: 'Hi', list: 'news', recipients });
    expect(await completed(id)).toMatchObject({ total: 5, sent: 2, failed: 0, cancelled: 3, suppressed: 3 });
    expect(receivers()).toEqual(['dan@readers.test', 'eve@readers.test']);

    expect(await app.mail.status(`${id}-0.0`)).toMatchObject({
      state: 'cancelled',
      reply: BOUNCED,
      suppressed: 'hard-bounce',
    });
    expect(await app.mail.status(`${id}-0.2`)).toMatchObject({
      reply: 'Suppressed for the list news: unsubscribed on 2026-11-20',
      suppressed: 'unsubscribed',
    });
    await eventually(() => expect(done).toMatchObject([{ cancelled: 3, suppressed: 3 }]));
    expect(cancelled).toHaveLength(3);
    expect(cancelled).toContainEqual(
      expect.objectContaining({ recipients: ['ann@readers.test'], suppressed: 'hard-bounce', reply: BOUNCED }),
    );
    const { suppressed, failed } = (await app.mail.stats({ since: '1h' })).lanes.bulk;
    expect([suppressed - before.suppressed, failed - before.failed]).toEqual([3, 0]);
    expect(await app.mail.retryFailed(id)).toBe(0);
  });

  it('heeds what came after it was queued', async () => {
    await app.mail.pause();
    const { id } = await app.mail.sendBulk({ subject: 'News', text: 'Hi', recipients });
    await app.mail.suppressions.add({ address: 'eve@readers.test', reason: 'unsubscribed' });
    await app.mail.resume();
    expect(await completed(id)).toMatchObject({ sent: 4, suppressed: 1 });
    expect(receivers()).not.toContain('eve@readers.test');
  });

  it('heeds what comes while its batch is being sent', async () => {
    const many = Array.from({ length: 60 }, (_, n) => ({ to: `s${n}@readers.test` }));
    const { id } = await app.mail.sendBulk({ subject: 'News', text: 'Hi', recipients: many });
    await eventually(() => expect(smtp.received.length).toBeGreaterThan(0));
    await app.mail.suppressions.add({ address: 's59@readers.test', reason: 'unsubscribed' });
    expect(await completed(id)).toMatchObject({ sent: 59, suppressed: 1 });
    expect(receivers()).not.toContain('s59@readers.test');
  });

  it('is redirected only where its own recipient may get it; nobody asks for the one who gets it instead', async () => {
    intercept = redirectTo('qa@shop.test');
    await app.mail.suppressions.add([
      { address: 'ann@readers.test', reason: 'unsubscribed' },
      { address: 'qa@shop.test', ...bounced },
    ]);
    const some = recipients.slice(0, 2);
    const { id } = await app.mail.sendBulk({ subject: 'News', text: 'Hi', recipients: some });
    expect(await completed(id)).toMatchObject({ sent: 1, suppressed: 1 });
    const [mail] = await Promise.all(smtp.received.map(({ raw }) => parse(raw)));
    expect([receivers(), mail?.headers['x-original-to']]).toEqual([['qa@shop.test'], 'bob@readers.test']);
  });
});

describe.each(['bulk', 'priority'] as const)('a mail of the %s lane', (lane) => {
  it('goes to those of its recipients who are not suppressed, its headers unchanged', async () => {
    await app.mail.suppressions.add({ address: 'cid@readers.test', ...bounced });
    const people = { to: ['ann@readers.test', 'bob@readers.test'], cc: 'Cid <cid@readers.test>' };
    const receipt = await app.mail.send({ lane, ...people, subject: 'Hi', text: 'Hi' });
    const status = await settled(receipt.id);
    expect(receivers()).toEqual(['ann@readers.test', 'bob@readers.test']);
    const mail = await parse(smtp.received[0]!.raw);
    expect(JSON.stringify(mail.headers)).toContain('cid@readers.test');
    expect(status).toMatchObject({ state: 'sent' });
    expect(status.suppressed).toBeUndefined();
    expect(status.recipients).toContainEqual(
      expect.objectContaining({
        address: 'cid@readers.test',
        state: 'cancelled',
        suppressed: 'hard-bounce',
        reply: BOUNCED,
      }),
    );
    if (receipt.status !== 'sent') return;
    expect(receipt).toMatchObject({
      accepted: people.to,
      rejected: ['cid@readers.test'],
      rejections: [{ address: 'cid@readers.test', reply: BOUNCED, permanent: true }],
    });
  });
});

describe('a priority mail', () => {
  const send = (to: string | string[], extra: object = {}) =>
    app.mail.send({ to, subject: 'Your code', text: '1234', ...extra });
  const failure = async (sending: Promise<unknown>): Promise<MailDeliveryError> => {
    const error: unknown = await sending.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(MailDeliveryError);
    return error as MailDeliveryError;
  };

  it('fails at once where none of its recipients may get it, and counts as no failure', async () => {
    await app.mail.suppressions.add([
      { address: 'ann@readers.test', ...bounced },
      { address: 'bob@readers.test', since },
    ]);
    const [cancelled, failed] = [heard('cancelled'), heard('failed')];
    const error = await failure(send(['ann@readers.test', 'bob@readers.test']));
    expect(error).toMatchObject({
      code: 'SUPPRESSED',
      permanent: true,
      outcome: 'not-sent',
      name: 'MailDeliveryError',
    });
    expect(error.message).toBe(
      `Message ${error.id} is not sent. ann@readers.test: ${BOUNCED}; bob@readers.test: Suppressed: by hand on 2026-11-20`,
    );
    expect(smtp.received).toEqual([]);
    expect(await settled(error.id)).toMatchObject({ state: 'cancelled', suppressed: 'hard-bounce', reply: BOUNCED });
    expect(cancelled).toMatchObject([
      { recipients: ['ann@readers.test'], suppressed: 'hard-bounce' },
      { recipients: ['bob@readers.test'], suppressed: 'manual' },
    ]);
    expect(failed).toEqual([]);
  });

  it('is sent to who called a newsletter spam, or wants no more of them', async () => {
    await app.mail.suppressions.add([
      { address: 'ann@readers.test', reason: 'complaint', scope: 'all' },
      { address: 'bob@readers.test', reason: 'unsubscribed', scope: 'all' },
      { address: 'cid@readers.test', reason: 'hard-bounce', scope: 'bulk' },
    ]);
    await send(['ann@readers.test', 'bob@readers.test', 'cid@readers.test']);
    expect(receivers()).toEqual(['ann@readers.test', 'bob@readers.test', 'cid@readers.test']);
  });

  it('is sent with the same key when its recipient is off the list', async () => {
    await app.mail.suppressions.add({ address: 'ann@readers.test', ...bounced });
    const { code } = await failure(send('ann@readers.test', { idempotencyKey: 'code-1' }));
    expect(code).toBe('SUPPRESSED');
    await app.mail.suppressions.remove('ann@readers.test');
    expect(await send('ann@readers.test', { idempotencyKey: 'code-1' })).toMatchObject({ status: 'sent' });
  });
});

describe('a recipient whom the mail server refuses', () => {
  const REFUSED: Record<string, Refusal> = {
    'ann@readers.test': { code: 550, text: '5.1.1 No such user' },
    'bob@readers.test': { code: 552, text: '5.2.2 Mailbox full' },
    'cid@readers.test': { code: 550, text: '5.7.1 Relaying denied' },
    'dan@readers.test': { code: 450, text: '4.1.1 No such user yet' },
    'eve@readers.test': { code: 550, text: '5.1.0 Sender address rejected' },
  };
  const refuse = (address: string): Refusal | undefined =>
    address === 'gus@readers.test' ? REFUSED['ann@readers.test'] : REFUSED[address];
  const list = async (rejections?: 'bulk'): Promise<Suppression[]> => {
    const picky = await startSmtpServer({ onRcpt: refuse });
    const feedback = rejections ? { suppress: { rejections } } : false;
    const { mail } = await startMail({
      smtp: picky.url,
      queue: { connection: IN_MEMORY, retry: { attempts: 1 } },
      feedback,
    });
    const recipients = Object.keys(REFUSED).map((to) => ({ to }));
    const { id } = await mail.sendBulk({ subject: 'News', text: 'Hi', recipients });
    await mail.send({ lane: 'bulk', to: ['fay@readers.test', 'gus@readers.test'], subject: 'News', text: 'Hi' });
    const found: Suppression[] = [];
    await eventually(async () => {
      expect((await mail.campaign(id))?.state).toBe('completed');
      expect(picky.received).toHaveLength(1);
      found.length = 0;
      for await (const entry of mail.suppressions.list()) found.push(entry);
      expect(found).toHaveLength(rejections ? 2 : 0);
    });
    return found.sort((a, b) => (a.address < b.address ? -1 : 1));
  };

  it('is suppressed where that is wanted and there is no such mailbox', async () => {
    expect(await list('bulk')).toMatchObject([
      { address: 'ann@readers.test', scope: 'bulk', reason: 'hard-bounce', note: '550 5.1.1 No such user' },
      { address: 'gus@readers.test', scope: 'bulk', reason: 'hard-bounce' },
    ]);
    expect(await list()).toEqual([]);
  });
});

describe("an application's own list", () => {
  const why: Suppression = { address: 'ann@readers.test', scope: 'all', ...bounced };
  let answer: () => Promise<Map<string, Suppression>>;
  let asked: [addresses: string[], mail: SuppressedMail][];
  let own: MailApp;
  let away: MailApp;

  beforeAll(async () => {
    const refuse = (): Promise<never> => Promise.reject(new Error('Not asked for here'));
    const list: SuppressionList = {
      find: (addresses, mail) => {
        asked.push([[...addresses], mail]);
        return answer();
      },
      get: () => Promise.resolve([why]),
      add: refuse,
      remove: refuse,
      list: () => ({ [Symbol.asyncIterator]: () => ({ next: refuse }) }),
    };
    const suppression = { list, priority: 'hard-bounces' } as const;
    own = await startMail({ smtp: smtp.url, queue: { connection: IN_MEMORY }, suppression });
    away = await startMail({ smtp: smtp.url, queue: false, suppression });
  });
  beforeEach(() => {
    asked = [];
    answer = () => Promise.resolve(new Map([['ann@readers.test', why]]));
  });

  it('is asked in place of ours, for a whole batch at once', async () => {
    const { id } = await own.mail.sendBulk({
      subject: 'News',
      text: 'Hi',
      list: 'news',
      recipients: [{ to: 'ann@readers.test' }, { to: 'bob@readers.test' }],
    });
    await eventually(async () => expect((await own.mail.campaign(id))?.state).toBe('completed'));
    expect(receivers()).toEqual(['bob@readers.test']);
    expect(asked[0]).toEqual([['ann@readers.test', 'bob@readers.test'], { lane: 'bulk', list: 'news' }]);
    expect(await own.mail.suppressions.get('ann@readers.test')).toEqual([why]);
  });

  it('holds a batch back while it cannot be asked, and no priority mail', async () => {
    answer = () => Promise.reject(new Error('connection refused'));
    const { id } = await own.mail.sendBulk({ subject: 'News', text: 'Hi', recipients: [{ to: 'bob@readers.test' }] });
    await eventually(async () => expect((await own.mail.queue()).batches.delayed).toBe(1));
    expect(smtp.received).toEqual([]);
    expect((await own.mail.campaign(id))?.lastError).toBe('connection refused');
    await own.mail.send({ to: 'ann@readers.test', subject: 'Your code', text: '1234' });
    answer = () => new Promise(() => undefined);
    await own.mail.send({ to: 'ann@readers.test', subject: 'Your code', text: '1234' });
    expect(receivers()).toEqual(['ann@readers.test', 'ann@readers.test']);

    answer = () => Promise.resolve(new Map<string, Suppression>());
    await own.mail.resume(id);
    await eventually(() => expect(receivers()).toContain('bob@readers.test'));
  });

  it('serves without a queue', async () => {
    const sending = away.mail.send({ to: 'ann@readers.test', subject: 'Your code', text: '1234' });
    await expect(sending).rejects.toMatchObject({ code: 'SUPPRESSED' });
    expect(asked).toEqual([[['ann@readers.test'], { lane: 'priority' }]]);
  });
});
