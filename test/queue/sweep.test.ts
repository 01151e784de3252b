import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, expect, it, vi } from 'vitest';
import { AttachmentSweep } from '../../src/attachments/attachment-sweep.js';
import { Leases } from '../../src/attachments/leases.js';
import { MemoryAttachmentStore } from '../../src/attachments/memory-store.js';
import type { MailError } from '../../src/errors.js';
import type { RecipientInput } from '../../src/message/message.js';
import { createBackend } from '../../src/queue/backend.js';
import { BatchFormat } from '../../src/queue/batch-format.js';
import { Reader } from '../../src/queue/reader.js';
import { Retention } from '../../src/queue/retention.js';
import { Sweep } from '../../src/queue/sweep.js';
import { UNSEALED } from '../../src/store/sealing.js';
import type { DurableStore } from '../../src/store/store.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { openQueueStore } from '../support/open-store.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';

const HOUR = 3_600_000;
const KEEP = { sent: 24 * HOUR, failed: 30 * 24 * HOUR };

// The embedded store lets one process open it once; its statements are PostgreSQL's.
for (const where of STORES.filter(({ name }) => name !== 'embedded')) {
  let app: MailApp;
  let store: DurableStore;
  let sweep: Sweep;
  let reader: Reader;
  let retention: Retention;

  beforeAll(async () => {
    const connection = await where.create();
    const smtp = await startSmtpServer({
      onRcpt: (address) => (address.startsWith('gone') ? { code: 550, text: '5.1.1 no such user' } : undefined),
    });
    app = await startMail({ smtp: smtp.url, queue: { connection, batch: { size: 10 } } });
    const onError = (): void => undefined;
    store = await openQueueStore(connection);
    await store.ready();
    const backend = createBackend('mail', store, onError);
    const { queue } = backend;
    reader = new Reader(backend, store.records, new BatchFormat(UNSEALED), UNSEALED);
    retention = new Retention(queue, store.records, reader, KEEP);
    sweep = new Sweep(store.records, retention, KEEP, reader, undefined, onError);
  });

  const people = (prefix: string, count: number): RecipientInput[] =>
    Array.from({ length: count }, (_, n) => ({ to: `${prefix}${n}@readers.test` }));
  const finished = async (): Promise<number | undefined> => {
    const counts = await app.context.get<Queue>(getQueueToken('mail')).getJobCounts('completed');
    return counts['completed'];
  };
  const expiryOf = async (key: string): Promise<number> => {
    if (store.kind === 'redis') {
      const [name = ''] = await store.client.keys(`*${key}`);
      return store.client.pexpiretime(name);
    }
    const { rows } = await store.pool.query('SELECT expires_at AS at FROM priority_mail.record WHERE key LIKE $1', [
      `%${key}`,
    ]);
    return Number((rows as { at: string }[])[0]?.at);
  };
  const inDays = (days: number): number => Date.now() + days * 24 * HOUR;

  it(`removes what is past retention on ${where.name}, and keeps what failed and what can be continued`, async () => {
    const message = { subject: 'x', text: 'x' };
    await app.mail.sendBulk({ ...message, id: 'good', recipients: people('a', 25) });
    await app.mail.sendBulk({ ...message, id: 'bad', recipients: people('gone', 5) });
    const broken = function* (): Generator<RecipientInput> {
      yield* people('c', 170);
      throw new Error('cut');
    };
    const cut = await app.mail.sendBulk({ ...message, id: 'cut', recipients: broken() }).catch((e: MailError) => e);
    const batches = cut.queued! / 10;
    expect(batches).toBeGreaterThan(0);
    await eventually(async () => expect(await finished()).toBe(3 + 1 + batches));

    expect(await sweep.run(Date.now())).toBe(0);
    const expire = vi.spyOn(store.records, 'expire');
    expect(await sweep.run(inDays(2))).toBe(3);
    expect(expire.mock.calls.flatMap(([names]) => names)).toContain('pass/good/0');
    expire.mockRestore();
    expect(await app.mail.status('good-0.0')).toBeUndefined();
    expect(await app.mail.status('bad-0.0')).toMatchObject({ state: 'failed' });
    expect(await app.mail.campaign('good')).toMatchObject({ state: 'completed', sent: 25 });
    expect(await sweep.run(inDays(29))).toBe(0);
    // Nobody continued it for as long as failed messages stay.
    expect(await sweep.run(inDays(31))).toBe(1 + batches);
    expect(await finished()).toBe(0);

    // Who of it was served is not known any more.
    const again = app.mail.sendBulk({ ...message, id: 'cut', recipients: people('c', 170) });
    await expect(again).rejects.toMatchObject({ code: 'CAMPAIGN_PAST_RETENTION', permanent: true });
    expect(await app.mail.campaign('cut')).toMatchObject({ total: cut.queued });
    // One that was completed is known for longer whenever it is asked for.
    await store.records.expire(['campaign/good'], Date.now() + 60_000);
    expect(await app.mail.sendBulk({ ...message, id: 'good', recipients: people('a', 25) })).toMatchObject({
      queued: 0,
      duplicates: 25,
    });
    expect(await expiryOf('campaign/good')).toBeGreaterThan(inDays(89));
  });

  it(`sweeps on ${where.name} for processes that live for minutes when nobody has for an hour`, async () => {
    const swept = vi.spyOn(retention, 'remove');
    const later = Date.now() + 90 * 24 * HOUR;
    await store.records.delete(['swept']);
    await sweep.runIfDue(later);
    await sweep.runIfDue(later);
    expect(swept).toHaveBeenCalledTimes(1);
    await store.records.delete(['swept']);
    await sweep.run(later);
    await sweep.runIfDue(later);
    expect(swept).toHaveBeenCalledTimes(2);
    swept.mockRestore();
  });

  it(`sweeps attachments on ${where.name} once an hour, unless the queue stands still and renews no leases`, async () => {
    const swept: number[] = [];
    const attachments = new AttachmentSweep(
      new MemoryAttachmentStore(),
      { leases: new Leases(store.records), marker: undefined },
      store.records,
      HOUR,
    );
    vi.spyOn(attachments, 'run').mockImplementation((now) => Promise.resolve(swept.push(now)));
    const own = new Sweep(store.records, retention, KEEP, reader, attachments, () => undefined);
    await app.mail.pause();
    await own.run();
    await store.records.delete(['attachments/sweep']);
    await app.mail.resume();
    expect(swept).toEqual([]);
    await own.run();
    await own.run();
    expect(swept).toHaveLength(1);
    await store.records.delete(['attachments/sweep']);
    // No worker was heard of for so long.
    await own.run(inDays(2));
    expect(swept).toHaveLength(1);
  });

  it(`frees expired records on ${where.name}`, async () => {
    await store.records.putIfAbsent('old', { x: '1' }, Date.now() + HOUR);
    await sweep.run(inDays(1));
    const [record] = await store.records.get(['old']);
    // Redis does so by its own clock.
    expect(record).toEqual(where.name === 'redis' ? { x: '1' } : undefined);
  });
}
