import pg from 'pg';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MailError, MailValidationError } from '../../src/errors.js';
import type { RecipientInput } from '../../src/message/message.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { createDatabase } from '../support/postgres.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';

const people = (count: number): RecipientInput[] =>
  Array.from({ length: count }, (_, n) => ({ to: `reader${n}@readers.test`, context: { n } }));
const message = { subject: 'Post for {{n}}', text: 'x' };

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;

  beforeAll(async () => {
    smtp = await startSmtpServer();
    app = await startMail({ smtp: smtp.url, queue: { connection: await store.create(), batch: { size: 10 } } });
  });
  beforeEach(() => smtp.clear());

  const completed = (id: string): Promise<void> =>
    eventually(async () => expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed' }));
  const failure = async (work: Promise<unknown>): Promise<MailError> => {
    const error: unknown = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(MailError);
    return error as MailError;
  };
  const everyoneOnce = (count: number): void => {
    expect(smtp.received.map(({ to }) => to.join()).sort()).toEqual(
      people(count)
        .map(({ to }) => to)
        .sort(),
    );
  };

  it('is incomplete when its source throws midway, says how far it came, and continues under the same id', async () => {
    const cause = new Error('the cursor was closed');
    const broken = function* (): Generator<RecipientInput> {
      yield* people(475);
      throw cause;
    };
    const error = await failure(app.mail.sendBulk({ ...message, id: 'post-1', recipients: broken() }));
    expect(error).toMatchObject({ code: 'SOURCE_FAILED', campaignId: 'post-1', permanent: false, cause });
    expect(error.queued).toBeGreaterThan(0);
    expect(error.message).toContain(`${error.queued} recipients are queued`);
    const report = await app.mail.campaign('post-1');
    expect(report).toMatchObject({ state: 'incomplete', total: error.queued, lastError: 'the cursor was closed' });

    // The second pass may see them in another order: what counts is who was queued.
    const receipt = await app.mail.sendBulk({ ...message, id: 'post-1', recipients: people(600).reverse() });
    expect(receipt).toMatchObject({ id: 'post-1', queued: 600 - error.queued!, duplicates: error.queued! });
    await completed('post-1');
    everyoneOnce(600);
    expect(await app.mail.campaign('post-1')).toMatchObject({ total: 600, sent: 600 });
  });

  it('queues nobody again when it was complete', async () => {
    await app.mail.sendBulk({ ...message, id: 'post-2', recipients: people(30) });
    const again = await app.mail.sendBulk({ ...message, id: 'post-2', recipients: people(30) });
    expect(again).toMatchObject({ id: 'post-2', queued: 0, duplicates: 30 });
    await completed('post-2');
    everyoneOnce(30);
  });

  it('refuses an id that belongs to another message, or to a campaign that was cancelled', async () => {
    await app.mail.sendBulk({ ...message, id: 'post-3', delay: '1h', recipients: people(1) });
    const other = app.mail.sendBulk({ ...message, subject: 'Another', id: 'post-3', recipients: people(1) });
    await expect(other).rejects.toBeInstanceOf(MailValidationError);
    expect(await app.mail.cancel('post-3')).toBe(true);
    expect(await failure(app.mail.sendBulk({ ...message, id: 'post-3', recipients: people(1) }))).toMatchObject({
      code: 'CANCELLED',
      permanent: true,
      campaignId: 'post-3',
    });
  });

  it('lets one call at a time queue a campaign', async () => {
    let go: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => (go = resolve));
    const slow = async function* (): AsyncGenerator<RecipientInput> {
      yield* people(5);
      await wait;
    };
    const first = app.mail.sendBulk({ ...message, id: 'post-4', recipients: slow() });
    await eventually(async () => expect(await app.mail.campaign('post-4')).toMatchObject({ state: 'queueing' }));
    expect(await failure(app.mail.sendBulk({ ...message, id: 'post-4', recipients: people(5) }))).toMatchObject({
      code: 'CAMPAIGN_BUSY',
    });
    go();
    expect(await first).toMatchObject({ queued: 5 });
    await completed('post-4');
    everyoneOnce(5);
  });

  it('stops queueing when its signal aborts or it is cancelled, and reports progress', async () => {
    const abort = new AbortController();
    const progress: number[] = [];
    const error = await failure(
      app.mail.sendBulk({
        ...message,
        id: 'post-5',
        recipients: people(10_000),
        signal: abort.signal,
        onProgress: ({ queued }) => {
          progress.push(queued);
          if (queued >= 320) abort.abort();
        },
      }),
    );
    expect(error).toMatchObject({ code: 'ABORTED', campaignId: 'post-5' });
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(error.queued).toBe(progress.at(-1));
    expect(error.queued).toBeLessThan(10_000);
    expect(await app.mail.cancel('post-5')).toBe(true);

    let cancelling: Promise<boolean> | undefined;
    const cancelled = app.mail.sendBulk({
      ...message,
      id: 'post-6',
      recipients: people(10_000),
      onProgress: () => void (cancelling ??= app.mail.cancel('post-6')),
    });
    expect((await failure(cancelled)).message).toMatch(/cancelled/);
    expect(await app.mail.campaign('post-6')).toMatchObject({ state: 'cancelled', queued: 0 });
  });

  it('stops at once when its signal aborts while the source keeps it waiting, and lets go of the source', async () => {
    const abort = new AbortController();
    let released = false;
    const hanging: AsyncIterable<RecipientInput> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          abort.abort();
          return new Promise(() => undefined);
        },
        return: () => {
          released = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    const queueing = app.mail.sendBulk({ ...message, recipients: hanging, signal: abort.signal });
    expect(await failure(queueing)).toMatchObject({ code: 'ABORTED', queued: 0 });
    expect(released).toBe(true);
  });

  it('reads the source no faster than the queue takes it', async () => {
    let read = 0;
    let queued = 0;
    let ahead = 0;
    const source = function* (): Generator<RecipientInput> {
      for (const person of people(3_000)) {
        ahead = Math.max(ahead, ++read - queued);
        yield person;
      }
    };
    const receipt = await app.mail.sendBulk({
      ...message,
      delay: '1h',
      recipients: source(),
      onProgress: (progress) => (queued = progress.queued),
    });
    expect(receipt.queued).toBe(3_000);
    // 16 batches of 10 are flushed together: those under way, those being packed, and the batch being filled.
    expect(ahead).toBeLessThanOrEqual(2 * 160 + 2 * 10);
    await app.mail.cancel(receipt.id);
  });
});

describe('a campaign from a database cursor', () => {
  it('loses and doubles nobody when the connection is cut midway', async () => {
    const smtp = await startSmtpServer();
    const source = await createDatabase();
    const queue = await createDatabase();
    const app = await startMail({ smtp: smtp.url, queue: { connection: queue.url, batch: { size: 25 } } });
    const admin = new pg.Client(source.url);
    await admin.connect();
    await admin.query(
      `CREATE TABLE follower AS SELECT n, 'reader' || n || '@readers.test' AS email FROM generate_series(0, 1999) n`,
    );

    /** Followers as an application would read them: through a cursor in a transaction. */
    async function* followers(onConnected: (pid: number) => void): AsyncGenerator<RecipientInput> {
      const client = new pg.Client(source.url);
      client.on('error', () => undefined);
      await client.connect();
      try {
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        onConnected(rows[0]!.pid);
        await client.query('BEGIN');
        await client.query('DECLARE c CURSOR FOR SELECT email, n FROM follower');
        for (;;) {
          const page = await client.query<{ email: string; n: number }>('FETCH 100 FROM c');
          if (page.rows.length === 0) return;
          yield* page.rows.map(({ email, n }) => ({ to: email, context: { n } }));
        }
      } finally {
        await client.end().catch(() => undefined);
      }
    }

    let pid = 0;
    const interrupted = app.mail.sendBulk({
      ...message,
      id: 'followers',
      recipients: followers((found) => (pid = found)),
      onProgress: () => void admin.query('SELECT pg_terminate_backend($1)', [pid]),
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'SOURCE_FAILED', campaignId: 'followers' });
    const { total } = (await app.mail.campaign('followers'))!;
    expect(total).toBeGreaterThan(0);
    expect(total).toBeLessThan(2_000);

    const receipt = await app.mail.sendBulk({ ...message, id: 'followers', recipients: followers(() => undefined) });
    expect(receipt).toMatchObject({ queued: 2_000 - total, duplicates: total });
    await eventually(
      async () => expect(await app.mail.campaign('followers')).toMatchObject({ state: 'completed', sent: 2_000 }),
      {
        within: 20_000,
      },
    );
    expect(smtp.received).toHaveLength(2_000);
    expect(new Set(smtp.received.flatMap(({ to }) => to)).size).toBe(2_000);
    await admin.end();
    await app.close();
  });
});
