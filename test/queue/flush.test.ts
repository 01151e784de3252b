import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { describe, expect, it } from 'vitest';
import { MailQueueUnavailableError } from '../../src/errors.js';
import { createBackend } from '../../src/queue/backend.js';
import type { Batch } from '../../src/queue/batch.js';
import { BatchFormat } from '../../src/queue/batch-format.js';
import { Flusher } from '../../src/queue/flush.js';
import { Statistics } from '../../src/queue/statistics.js';
import { UNSEALED } from '../../src/store/sealing.js';
import { startMail } from '../support/app.js';
import { openQueueStore } from '../support/open-store.js';
import { startRedis } from '../support/redis.js';
import { onEveryStore } from '../support/stores.js';

const batch = (id: string, text: string): Batch => ({
  v: 1,
  id,
  createdAt: Date.now(),
  urgency: 'normal',
  shared: { from: { name: '', address: 'a@shop.test' }, replyTo: [], headers: [], cc: [], bcc: [], attachments: [] },
  items: [{ to: [{ name: '', address: 'b@readers.test' }], subject: 'x', text }],
});

async function open(connection: string): Promise<{ flusher: Flusher; queue: Queue; close: () => Promise<void> }> {
  const store = await openQueueStore(connection);
  const backend = createBackend('mail', store, () => undefined);
  const attachments = { lease: () => Promise.resolve() };
  const statistics = new Statistics(undefined, () => undefined);
  return {
    flusher: new Flusher('mail', store, backend, new BatchFormat(UNSEALED), attachments, statistics),
    queue: backend.queue,
    close: async () => {
      await Promise.all([backend.queue.close(), backend.flow.close()]);
      await store.close(1_000);
    },
  };
}

onEveryStore((store) => {
  it('puts messages that are sent together and share their meta into few batches, their shared part once', async () => {
    const app = await startMail({ queue: { connection: await store.create(), worker: false, batch: { size: 100 } } });
    const queue = app.context.get<Queue>(getQueueToken('mail'));
    const send = (n: number, replyTo: string): Promise<{ id: string }> =>
      app.mail.send({ lane: 'bulk', to: `r${n}@readers.test`, subject: `${n}`, text: `text ${n}`, replyTo });
    const receipts = await Promise.all(
      Array.from({ length: 300 }, (_, n) => send(n, n % 3 === 0 ? 'one@shop.test' : 'two@shop.test')),
    );
    expect(new Set(receipts.map(({ id }) => id)).size).toBe(300);
    const jobs = await queue.getJobs(['prioritized', 'wait']);
    const batches = jobs.map((job) => job.data as Batch);
    expect(batches.map(({ items }) => items.length).sort((a, b) => b - a)).toEqual([100, 100, 100]);
    for (const { shared, items } of batches) {
      expect(shared.replyTo).toHaveLength(1);
      expect(Object.keys(items[0]!).sort()).toEqual(['subject', 'text', 'to']);
    }
    for (const [n, { id }] of receipts.entries()) {
      expect((await app.mail.status(id))?.recipients[0]?.address).toBe(`r${n}@readers.test`);
      if (n > 20) break;
    }
    await app.close();
  });

  it('queues the same batches once, however often they are flushed', async () => {
    const { flusher, queue, close } = await open(await store.create());
    const batches = [batch('m_one', 'x'), batch('m_two', 'x')];
    await flusher.flush(batches);
    await flusher.flush(batches);
    expect(await queue.getJobCounts('prioritized')).toEqual({ prioritized: 2 });
    await close();
  });

  if (store.name === 'postgres') {
    it('keeps a bounded number of events', async () => {
      const opened = await openQueueStore(await store.create());
      const { queue, flow, eventLine } = createBackend('mail', opened, () => undefined);
      if (opened.kind !== 'postgres') throw new Error('It is looked up in PostgreSQL');
      await opened.ready();
      await queue.getVersion();
      const old = `INSERT INTO event (queue, event, data, created_at_ms) SELECT 'mail', 'x', '{}', 1 FROM generate_series(1, 3000)`;
      await opened.pool.query(old, []);
      // BullMQ tidies up at each 256th event.
      for (let n = 0; n < 256; n++) await eventLine!.publish('x');
      const { rows } = await opened.pool.query(`SELECT count(*)::int AS count FROM event WHERE queue = 'mail'`, []);
      expect((rows[0] as { count: number }).count).toBeLessThanOrEqual(1_256);
      await Promise.all([queue.close(), flow.close()]);
      await opened.close(1_000);
    });
  }

  if (store.name !== 'redis') {
    it('queues all batches of a flush or none, and says that it failed', async () => {
      const { flusher, queue, close } = await open(await store.create());
      // jsonb takes no NUL; validation lets none come so far.
      const flush = flusher.flush([batch('m_good', 'x'), batch('m_bad', 'a\0b'), batch('m_good2', 'x')]);
      await expect(flush).rejects.toBeInstanceOf(MailQueueUnavailableError);
      expect(await queue.getJobCounts('prioritized', 'wait', 'delayed')).toEqual({
        prioritized: 0,
        wait: 0,
        delayed: 0,
      });
      await close();
    });
  }
});

describe('on redis', () => {
  it('queues all batches of a flush or none when Redis is full, and says that it failed', async () => {
    const redis = await startRedis({ args: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] });
    const { flusher, queue, close } = await open(redis.url);
    await flusher.flush([batch('m_first', 'x')]);
    const large = Array.from({ length: 20 }, (_, n) => batch(`m_large${n}`, 'x'.repeat(1024 * 1024)));
    await expect(flusher.flush(large)).rejects.toBeInstanceOf(MailQueueUnavailableError);
    const { prioritized } = await queue.getJobCounts('prioritized');
    expect([1, 21]).toContain(prioritized);
    await close();
  });
});
