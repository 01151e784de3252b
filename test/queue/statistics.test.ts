import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseStatsRange } from '../../src/nest/stats-range.js';
import { Statistics } from '../../src/queue/statistics.js';
import type { Store } from '../../src/store/store.js';
import { startMail } from '../support/app.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { openQueueStore } from '../support/open-store.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';

const NONE = { queued: 0, sent: 0, failed: 0, deferred: 0, cancelled: 0, suppressed: 0, expired: 0 };
const NO_FEEDBACK = { bounced: 0, complained: 0, delivered: 0, opened: 0, clicked: 0, unsubscribed: 0 };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const failOn = (error: Error): void => {
  throw error;
};

describe('what was counted', () => {
  // Half past an hour.
  const START = Date.parse('2030-01-01T12:30:00Z');
  let store: Store;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: START });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const opened = async (connection: string): Promise<Store> => {
    store = await openQueueStore(connection);
    atEnd(() => store.close(1_000));
    await store.ready();
    return store;
  };
  const member = (): Statistics => new Statistics(store, failOn);
  const report = (statistics: Statistics, since: number, rest: object = {}) =>
    statistics.report({ since, ...rest }, (keys) => store.records.get(keys));

  // The embedded store has PostgreSQL's records.
  describe.each(STORES.filter(({ name }) => name !== 'embedded'))('on $name', (kind) => {
    it('is the sum over processes, lanes and transports, and over minutes and hours', async () => {
      await opened(await kind.create());
      const [one, other, reader] = [member(), member(), member()];
      one.count('bulk', 'queued', 7);
      one.count('bulk', 'sent', 5, 'main');
      one.delivered('bulk', 'main', 10);
      await one.close();
      // Again, with what came meanwhile: nothing counts twice.
      one.count('bulk', 'sent', 1, 'main');
      one.delivered('bulk', 'main', 20);
      expect((await report(one, START)).total).toEqual({ ...NONE, queued: 7, sent: 6 });
      await one.close();
      vi.setSystemTime(START + 20 * MINUTE);
      other.count('priority', 'sent', 1, 'main');
      other.count('priority', 'failed', 2, 'spare');
      await other.close();
      vi.setSystemTime(START + 2 * HOUR);
      reader.count('bulk', 'deferred', 3, 'spare');
      const bulk = { ...NONE, queued: 7, sent: 6, deferred: 3 };
      const priority = { ...NONE, sent: 1, failed: 2 };
      expect(await report(reader, START - MINUTE + 1)).toEqual({
        since: new Date(START - MINUTE),
        until: new Date(START + 2 * HOUR),
        total: { queued: 7, sent: 7, failed: 2, deferred: 3, cancelled: 0, suppressed: 0, expired: 0 },
        lanes: { priority, bulk },
        transports: {
          main: { sent: 7, failed: 0, deferred: 0, latency: 15 },
          spare: { sent: 0, failed: 2, deferred: 3 },
        },
        feedback: { total: NO_FEEDBACK, lanes: { priority: NO_FEEDBACK, bulk: NO_FEEDBACK }, refused: {} },
      });
      // The minute it happened in is the last one it is in.
      expect((await report(reader, START + MINUTE)).total).toEqual({ ...NONE, sent: 1, failed: 2, deferred: 3 });
      expect((await report(reader, START + 21 * MINUTE)).total).toEqual({ ...NONE, deferred: 3 });
      expect((await report(reader, START, { lane: 'priority' })).total).toEqual(priority);
      expect(await report(reader, START, { transport: 'spare' })).toMatchObject({
        total: { ...NONE, failed: 2, deferred: 3 },
        transports: { spare: { failed: 2, deferred: 3 } },
      });
      // Days later there are hours, and then nothing.
      vi.setSystemTime(START + 80 * 24 * HOUR);
      expect(await report(reader, START)).toMatchObject({ since: new Date(START - HOUR / 2), total: { sent: 7 } });
      expect((await report(reader, START + HOUR)).total).toEqual({ ...NONE, deferred: 3 });
      await store.close(1_000);
    });
  });

  it('expires by itself', async () => {
    await opened(await STORES[0]!.create());
    const counted = member();
    counted.count('bulk', 'sent', 1, 'main');
    await counted.close();
    if (store.kind !== 'redis') throw new Error('It is looked up in Redis');
    const { client } = store;
    const expiries = await Promise.all(
      (await client.keys('*stats*')).map(async (key) => [
        key.split('/').at(-2),
        ((await client.pexpiretime(key)) - START) / HOUR,
      ]),
    );
    expect(Object.fromEntries(expiries)).toEqual({
      minute: 48 + 1 / 60 + 2,
      hour: 90 * 24 + 0.5 + 2,
    });
  });

  it('is written when the store is back, and never makes one', async () => {
    let there = false;
    const written: unknown[] = [];
    const records = { merge: (changes: unknown[]) => Promise.resolve(written.push(...changes)), expire: vi.fn() };
    const ready = vi.fn();
    const shy = { exists: () => Promise.resolve(there), ready, records } as unknown as Store;
    const statistics = new Statistics(shy, failOn);
    statistics.count('bulk', 'sent', 1, 'main');
    vi.setSystemTime(START + 2 * HOUR);
    statistics.count('bulk', 'sent', 2, 'main');
    await statistics.close();
    expect(ready).not.toHaveBeenCalled();
    expect((await statistics.report({ since: START })).total.sent).toBe(3);
    there = true;
    await statistics.close();
    expect(written).toHaveLength(4);
  });

  it('is written one after the other, the latest last, and closed when all of it is written', async () => {
    const written: string[] = [];
    const answers: (() => void)[] = [];
    const merge = async ([change]: { fields: Record<string, string> }[]): Promise<void> => {
      const [text] = Object.values(change!.fields);
      await new Promise<void>((resolve) => answers.push(resolve));
      written.push(text!);
    };
    const records = { merge, expire: vi.fn() };
    const slow = { exists: () => Promise.resolve(true), ready: vi.fn(), records } as unknown as Store;
    const statistics = new Statistics(slow, failOn);
    statistics.count('bulk', 'sent', 1, 'main');
    const writing = statistics.close();
    await eventually(() => answers.length === 1);
    statistics.count('bulk', 'sent', 2, 'main');
    const closing = statistics.close();
    await new Promise(setImmediate);
    expect(answers).toHaveLength(1);
    answers[0]!();
    await eventually(() => answers.length === 2);
    expect(written).toHaveLength(1);
    answers[1]!();
    await Promise.all([writing, closing]);
    expect(written.map((text) => text.includes('3'))).toEqual([false, true]);
  });

  it('keeps a bounded number of transports apart', async () => {
    const statistics = new Statistics(undefined, failOn);
    for (let n = 0; n < 600; n++) statistics.count('bulk', 'sent', 1, `tenant ${n}`);
    const { total, transports } = await statistics.report({ since: START });
    expect(total.sent).toBe(600);
    expect(Object.keys(transports)).toHaveLength(501);
  });
});

it('stats() counts what both lanes did, in two applications', async () => {
  const smtp = await startSmtpServer({
    onRcpt: (address) => (address.startsWith('bad') ? { code: 550, text: '5.1.1 No' } : undefined),
  });
  const queue = { connection: await STORES[0]!.create() };
  const web = await startMail({ smtp: smtp.url, queue: { ...queue, worker: false } });
  const worker = await startMail({ smtp: smtp.url, queue });
  const since = new Date();
  const mail = { subject: 'x', text: 'x' };
  await web.mail.send({ ...mail, to: ['ann@mail.test', 'bad@mail.test'] });
  await expect(web.mail.send({ ...mail, to: 'bad@mail.test' })).rejects.toThrow();
  await web.mail.send({ ...mail, lane: 'bulk', to: ['ann@mail.test', 'bob@mail.test'] });
  const recipients = ['a@mail.test', 'b@mail.test', 'bad@mail.test'].map((to) => ({ to }));
  const { id } = await web.mail.sendBulk({ ...mail, recipients });
  await eventually(async () => expect((await web.mail.campaign(id))?.state).toBe('completed'));
  await eventually(async () => expect((await worker.mail.stats({ since: '1m' })).lanes.bulk.sent).toBe(4));
  // Both write at the end.
  await worker.close();
  const later = await startMail({ smtp: smtp.url, queue: { ...queue, worker: false } });
  await web.close();
  const { total, lanes, transports } = await later.mail.stats({ since: since.toISOString() });
  expect(lanes).toEqual({
    priority: { ...NONE, sent: 1, failed: 2 },
    bulk: { ...NONE, queued: 5, sent: 4, failed: 1 },
  });
  expect(total).toEqual({ ...NONE, queued: 5, sent: 5, failed: 3 });
  expect(transports).toEqual({ main: { sent: 5, failed: 3, deferred: 0, latency: expect.any(Number) as number } });
});

it('stats() counts its own process where there is no queue', async () => {
  const smtp = await startSmtpServer();
  const { mail } = await startMail({ smtp: smtp.url, queue: false });
  await mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' });
  expect((await mail.stats({ since: '1h' })).total).toEqual({ ...NONE, sent: 1 });
});

describe('stats({ since })', () => {
  const now = Date.parse('2030-06-01T00:00:00Z');
  it.each([
    [new Date(now - 5), now - 5],
    ['2030-05-31T23:00:00Z', now - HOUR],
    ['2030-05-31', now - 24 * HOUR],
    ['15m', now - 15 * MINUTE],
  ])('takes %j', (since, at) => {
    expect(parseStatsRange({ since }, now)).toEqual({ since: at });
  });

  it.each([
    [{ since: '2030-06-02' }, /since.*"2030-06-02".*past/],
    [{ since: 'yesterday' }, /since.*"yesterday"/],
    [{ since: 3600 }, /since.*3600/],
    [{ since: new Date(NaN) }, /invalid Date/],
    [{}, /since.*undefined/],
    [{ since: '1h', lane: 'slow' }, /lane.*"slow".*'priority' or 'bulk'/],
    [{ since: '1h', transport: '' }, /transport/],
  ])('refuses %j', (range, message) => {
    expect(() => parseStatsRange(range as never, now)).toThrow(message);
  });
});
