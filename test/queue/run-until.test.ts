import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import type { RecipientInput } from '../../src/message/message.js';
import { MailWorker } from '../../src/nest/mail-worker.js';
import type { QueueConfig } from '../../src/nest/options/types.js';
import { createBackend, type Backend } from '../../src/queue/backend.js';
import type { RunReport } from '../../src/queue/run.js';
import { startMail, type MailApp } from '../support/app.js';
import { spawnTs } from '../support/child.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { openQueueStore } from '../support/open-store.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';

const people = (count: number): RecipientInput[] =>
  Array.from({ length: count }, (_, n) => ({ to: `p${n}@readers.test` }));

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let connection: string;
  let app: MailApp;
  let refuse: (address: string) => Refusal | undefined;
  /** Held until it resolves, before a message is answered. */
  let answer: () => Promise<void> | undefined;

  const boot = (queue: QueueConfig = {}, url = smtp.url): Promise<MailApp> =>
    startMail({
      transports: [{ name: 'main', url }],
      // All of it passes where a server never answers.
      shutdownTimeout: '1s',
      // Whoever takes a batch over from the lock of another is late.
      queue: { connection, worker: { autorun: false, lockDuration: '10m' }, retry: { firstPause: '1h' }, ...queue },
    });
  const workerOf = ({ context }: MailApp): MailWorker => context.get(MailWorker);
  const run = (deadline: number | `${number}s` = '60s', of = app): Promise<RunReport> =>
    workerOf(of).runUntil({ deadline });
  const queueFor = (recipients: RecipientInput[], options = {}) =>
    app.mail.sendBulk({ subject: 'x', text: 'x', recipients, ...options });
  const arrivals = (): string[] => smtp.received.flatMap(({ to }) => to);

  beforeAll(async () => {
    smtp = await startSmtpServer({ onRcpt: (address) => refuse(address), onData: () => answer() });
    connection = await store.create();
    app = await boot({ batch: { size: 10_000, maxBytes: 64 * 1024 * 1024 } });
  });
  beforeEach(() => {
    smtp.clear();
    refuse = () => undefined;
    answer = () => undefined;
  });

  it('works on nothing until it is called, then empties the queue and tells what it did', async () => {
    refuse = (address) => {
      if (address.startsWith('p1@')) return { code: 550, text: '5.1.1 No such user' };
      if (address.startsWith('p2@')) return { code: 451, text: '4.7.1 Greylisted' };
      return undefined;
    };
    const first = await queueFor(people(20));
    await queueFor(people(1));
    expect((await app.mail.queue()).batches).toMatchObject({ waiting: 2, active: 0 });
    expect(await run()).toEqual({ reason: 'empty', batches: 2, sent: 19, failed: 1, deferred: 1 });
    expect(await app.mail.campaign(first.id)).toMatchObject({ sent: 18, failed: 1, deferred: 1 });
    expect(await run()).toEqual({ reason: 'empty', batches: 0, sent: 0, failed: 0, deferred: 0 });
    expect(arrivals()).toHaveLength(19);
  });

  it('breaks off a batch that is larger than its time, and the next call sends exactly the rest', async () => {
    // At 20 ms each over 5 connections, the time is enough for a third of them.
    const COUNT = 1_200;
    const campaign = await queueFor(people(COUNT));
    answer = () => new Promise((resolve) => setTimeout(resolve, 20));
    const first = await run('2s');
    expect(first).toMatchObject({ reason: 'deadline', batches: 1 });
    expect(first.sent).toBeGreaterThan(0);
    expect(first.sent).toBeLessThan(COUNT);
    expect(smtp.received).toHaveLength(first.sent);
    expect(await app.mail.campaign(campaign.id)).toMatchObject({ sent: first.sent });
    expect((await app.mail.queue()).batches.active).toBe(0);

    answer = () => undefined;
    expect(await run()).toMatchObject({ reason: 'empty', batches: 1, sent: COUNT - first.sent });
    expect(arrivals().sort()).toEqual(
      people(COUNT)
        .map(({ to }) => to)
        .sort(),
    );
  });

  it('does not take a batch up again that it has no time for', async () => {
    await queueFor(people(100));
    answer = () => new Promise((resolve) => setTimeout(resolve, 300));
    expect(await run('3s')).toMatchObject({ reason: 'deadline', batches: 1 });
    const [batch] = await app.context.get<Queue>(getQueueToken('mail')).getDelayed();
    // A fetch may have been on its way.
    expect(batch?.attemptsStarted).toBeLessThanOrEqual(2);
    answer = () => undefined;
    expect(await run()).toMatchObject({ reason: 'empty', batches: 1 });
    expect(arrivals()).toHaveLength(100);
  });

  it('hangs up on a server that does not answer in time, and what it was given stays pending', async () => {
    const campaign = await queueFor(people(30));
    answer = () => new Promise(() => undefined);
    expect(await run(1_000)).toEqual({ reason: 'deadline', batches: 1, sent: 0, failed: 0, deferred: 0 });
    expect(await app.mail.campaign(campaign.id)).toMatchObject({ state: 'running', queued: 30, failed: 0 });
    answer = () => undefined;
    expect(await run()).toMatchObject({ reason: 'empty', sent: 30 });
  });

  it('is not kept by what is scheduled, nor by a queue that is paused', async () => {
    const later = await app.mail.send({ lane: 'bulk', to: 'l@x.test', subject: 'x', text: 'x', delay: '1h' });
    expect(await run()).toMatchObject({ reason: 'empty', batches: 0 });
    await app.mail.pause();
    await queueFor(people(3));
    expect(await run()).toMatchObject({ reason: 'empty', batches: 0 });
    await app.mail.resume();
    expect(await run()).toMatchObject({ reason: 'empty', batches: 1, sent: 3 });
    expect(await app.mail.status(later.id)).toMatchObject({ state: 'scheduled' });
    await app.mail.cancel(later.id);
  });

  it('does not come back to servers that are down, but leaves the batch for later', async () => {
    await queueFor(people(3));
    if (store.name === 'embedded') await app.close();
    const cut = await boot({}, `smtp://127.0.0.1:${await freePort()}`);
    expect(await run('60s', cut)).toEqual({ reason: 'empty', batches: 1, sent: 0, failed: 0, deferred: 0 });
    await cut.close();
    if (store.name === 'embedded') app = await boot();
    await eventually(async () => expect(await run()).toMatchObject({ reason: 'empty', sent: 3 }));
  }, 60_000);

  it('with empty: false takes what comes until the deadline', async () => {
    const running = workerOf(app).runUntil({ deadline: new Date(Date.now() + 4_000), empty: false });
    await queueFor(people(3));
    await eventually(() => expect(arrivals()).toHaveLength(3));
    await queueFor(people(2));
    await eventually(() => expect(arrivals()).toHaveLength(5));
    expect(await running).toEqual({ reason: 'deadline', batches: 2, sent: 5, failed: 0, deferred: 0 });
  });

  it('ends when its signal aborts: what is in flight is finished, the rest waits', async () => {
    const stop = new AbortController();
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    answer = () => {
      stop.abort();
      return held;
    };
    const { id } = await queueFor(people(200));
    const running = workerOf(app).runUntil({ deadline: '60s', signal: stop.signal });
    await eventually(() => stop.signal.aborted);
    letGo();
    const { reason, sent } = await running;
    expect({ reason, sent }).toEqual({ reason: 'aborted', sent: arrivals().length });
    expect(sent).toBeLessThan(200);
    expect(await workerOf(app).runUntil({ deadline: '1s', signal: stop.signal })).toMatchObject({ reason: 'aborted' });
    answer = () => undefined;
    expect(await run()).toMatchObject({ reason: 'empty', sent: 200 - sent });
    const states = [];
    for await (const { state, recipients } of app.mail.recipients(id)) states.push([recipients[0]!.address, state]);
    expect(states).toEqual(people(200).map(({ to }) => [to, 'sent']));
  });

  it('refuses a second call while the first runs', async () => {
    const running = workerOf(app).runUntil({ deadline: '1s', empty: false });
    await expect(run()).rejects.toMatchObject({ name: 'MailError', code: 'RUNNING', permanent: false });
    expect(await running).toMatchObject({ reason: 'deadline' });
    expect(await run()).toMatchObject({ reason: 'empty' });
  });

  it('leaves no connection and no listener behind however often it is called', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', listen);
    onTestFinished(() => void process.off('warning', listen));
    await run();
    const before = await connections(connection);
    for (let call = 0; call < 15; call++) expect(await run()).toMatchObject({ reason: 'empty' });
    await eventually(async () => expect(await connections(connection)).toBeLessThanOrEqual(before));
    expect(warnings).toEqual([]);
  });

  it('is ended by app.close(), and another application goes on', async () => {
    let asked = 0;
    answer = () => new Promise((resolve) => setTimeout(resolve, ++asked > 20 ? 600_000 : 0));
    await queueFor(people(200));
    const running = run();
    await eventually(() => asked > 20);
    await app.close();
    const first = await running;
    expect(first).toMatchObject({ reason: 'closed', sent: 20 });
    expect(await run()).toEqual({ reason: 'closed', batches: 0, sent: 0, failed: 0, deferred: 0 });
    answer = () => undefined;
    app = await boot();
    expect(await run()).toMatchObject({ reason: 'empty', sent: 180 });
    expect(new Set(arrivals()).size).toBe(200);
  }, 60_000);

  it.skipIf(store.name === 'embedded')('shares the work with a call in another application', async () => {
    const [one, other] = [await boot({ batch: { size: 10 } }), await boot()];
    await one.mail.sendBulk({ subject: 'x', text: 'x', recipients: people(600) });
    answer = () => new Promise((resolve) => setTimeout(resolve, 5));
    const reports = await Promise.all([run('60s', one), run('60s', other)]);
    for (const report of reports) {
      expect(report.reason).toBe('empty');
      expect(report.sent).toBeGreaterThan(0);
    }
    expect(arrivals()).toHaveLength(600);
    expect(new Set(arrivals()).size).toBe(600);
    await Promise.all([one.close(), other.close()]);
  });

  it('brings back what a worker that was killed has left', async () => {
    const queue = { connection: await store.create(), worker: { lockDuration: '1s' } } as const;
    const options = { from: 'a@shop.test', transports: [{ name: 'main', url: smtp.url }], queue };
    let asked = 0;
    answer = () => {
      asked++;
      return new Promise(() => undefined);
    };
    const program = new URL('../e2e/mail-process.mjs', import.meta.url);
    const killed = spawnTs(program, [JSON.stringify(options), 'campaign', '30']);
    await killed.line(/^queued/);
    // A connection alone may be one that is kept ready, before the worker has a batch.
    await eventually(() => asked > 0);
    await killed.kill();
    answer = () => undefined;
    if (store.name !== 'embedded') await lockHasRunOut(queue.connection);
    const next = await boot({ ...queue, worker: { ...queue.worker, autorun: false } });
    expect(await run('60s', next)).toMatchObject({ reason: 'empty', sent: 30 });
  }, 60_000);
});

/** How many connections the store's server has; 0 for the embedded one. */
async function connections(connection: string): Promise<number> {
  if (connection.startsWith('pglite:')) return 0;
  if (connection.startsWith('redis:')) {
    const redis = new Redis(connection);
    const list = String(await redis.client('LIST'));
    await redis.quit();
    return list.trim().split('\n').length;
  }
  const client = new pg.Client(connection);
  await client.connect();
  const { rows } = await client.query<{ n: number }>(
    'SELECT count(*)::int n FROM pg_stat_activity WHERE datname = current_database()',
  );
  await client.end();
  return rows[0]!.n;
}

/** Resolves when a batch lies with a worker that has lost its lock. */
async function lockHasRunOut(connection: string): Promise<void> {
  const store = await openQueueStore(connection);
  await store.ready();
  const backend: Backend = createBackend('mail', store, () => undefined);
  await eventually(() => backend.hasStalled());
  await Promise.all([backend.queue.close(), backend.flow.close()]);
  await store.close(1_000);
}
