import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi, onTestFinished } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { MailHealthIndicator } from '../../src/nest/mail-health.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { QueueConfig } from '../../src/nest/options/types.js';
import { eventually } from '../support/eventually.js';
import { createDatabase } from '../support/postgres.js';
import { startRedis, type RedisServer } from '../support/redis.js';
import { temporaryFolder } from '../support/temp.js';
import { boot, into } from './boot.js';

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

async function start(queue: QueueConfig) {
  const app = await boot({ imports: [MailModule.forRoot({ ...into(), queue: { connection: redis.url, ...queue } })] });
  const health = app.get(MailHealthIndicator);
  const mail = app.get(MailService);
  const queued = async () => (await health.isHealthy()).mail.queue!;
  return { app, mail, health, queued };
}

const news = { lane: 'bulk', to: 'ann@mail.test', subject: 'x', text: 'x' } as const;

describe('isHealthy', () => {
  it('counts the processes with a worker, until they close or are not heard of', async () => {
    const began = Date.now();
    const web = await start({ worker: false });
    expect(await web.queued()).toMatchObject({ reachable: true, workers: { alive: 0, processes: [] } });
    const [one, other] = [await start({}), await start({})];
    const workers = await eventually(async () => {
      const queue = await web.queued();
      expect(queue).toMatchObject({ workers: { alive: 2 } });
      return queue.reachable ? queue.workers : undefined!;
    });
    expect(workers.processes.map(({ batches }) => batches)).toEqual([0, 0]);
    expect(workers.lastSeen!.getTime()).toBeGreaterThanOrEqual(began);
    expect(workers.processes[0]!.since.getTime()).toBeGreaterThanOrEqual(began);
    await one.app.close();
    expect(await web.queued()).toMatchObject({
      workers: { alive: 1, processes: [{ id: expect.any(String) as string }] },
    });

    // As if it had died: its time goes on, and nobody hears of it.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 });
    onTestFinished(() => void vi.useRealTimers());
    expect(await web.queued()).toMatchObject({ workers: { alive: 0, lastSeen: expect.any(Date) as Date } });
    vi.useRealTimers();
    await other.app.close();
    expect(await web.queued()).toMatchObject({ workers: { alive: 0, lastSeen: expect.any(Date) as Date } });
  });

  it('tells what waits, and is down where the thresholds say so', async () => {
    const { mail, health, queued } = await start({ worker: false });
    const before = Date.now();
    await mail.send(news);
    await mail.send({ ...news, urgency: 'low' });
    await mail.send({ ...news, delay: '1h' });
    const queue = await queued();
    expect(queue).toMatchObject({
      reachable: true,
      paused: false,
      batches: { waiting: 2, delayed: 1, active: 0, setAside: 0 },
      oldestWaiting: expect.any(Date) as Date,
    });
    const oldest = queue.reachable ? queue.oldestWaiting!.getTime() : 0;
    expect(oldest).toBeGreaterThanOrEqual(before);
    await eventually(() => Date.now() > oldest + 1);

    const told = async (thresholds: Parameters<typeof health.isHealthy>[1]) => {
      const { status, problems = [] } = (await health.isHealthy('mail', thresholds)).mail;
      return [status, ...problems];
    };
    expect(await told({})).toEqual(['up']);
    expect(await told({ maxWaiting: 2, maxWait: '1h', minWorkers: 0 })).toEqual(['up']);
    expect(await told({ maxWaiting: 1, maxWait: 1, minWorkers: 1 })).toEqual([
      'down',
      'Waiting batches: 2, more than 1',
      expect.stringMatching(/^The oldest batch has waited for \d+ s, longer than 0 s$/),
      'Batches wait, and the processes with a worker are 0, fewer than 1',
    ]);
    await mail.pause();
    expect(await told({ maxWaiting: 0, maxWait: 0, minWorkers: 1 })).toEqual(['up']);
    expect(await queued()).toMatchObject({ paused: true });
    // @ts-expect-error there is no such threshold
    await expect(health.isHealthy('mail', { maxAge: 5 })).rejects.toThrow(MailConfigError);
    await expect(health.isHealthy('mail', { maxWait: 'long' as '1s' })).rejects.toThrow(
      /isHealthy\(\)\.maxWait is "long"/,
    );
  });

  it('is down while the store cannot be reached, and says so in time', async () => {
    const { health, queued } = await start({});
    await redis.stop();
    await eventually(async () => {
      expect((await health.isHealthy()).mail).toMatchObject({
        status: 'down',
        problems: [expect.stringMatching(/^The queue's store cannot be reached: .*(ECONNREFUSED|closed|ended)/)],
        queue: { reachable: false },
      });
    });
    await redis.restart();
    await eventually(async () => expect(await queued()).toMatchObject({ reachable: true }), { within: 20_000 });
  });

  it('does not wait for a store that does not answer', async () => {
    const { health } = await start({ worker: false });
    const silent = vi.spyOn(Object.getPrototypeOf(reader(health)) as { report: () => unknown }, 'report');
    onTestFinished(() => silent.mockRestore());
    silent.mockReturnValue(new Promise(() => undefined));
    expect((await health.isHealthy('mail', { timeout: 20 })).mail).toMatchObject({
      status: 'down',
      queue: { reachable: false, reason: 'No answer within 20 ms' },
    });
  });

  it('knows the same on PostgreSQL', async () => {
    const { mail, health, queued } = await start({ connection: (await createDatabase()).url });
    await eventually(async () => expect(await queued()).toMatchObject({ workers: { alive: 1 } }));
    await mail.pause();
    const before = Date.now();
    await mail.send(news);
    const queue = await queued();
    expect(queue).toMatchObject({ reachable: true, paused: true, batches: { waiting: 1 } });
    expect(queue.reachable ? queue.oldestWaiting!.getTime() : 0).toBeGreaterThanOrEqual(before);
    expect((await health.isHealthy()).mail.status).toBe('up');
  });

  it('creates no embedded store, and knows of its own worker', async () => {
    const folder = join(temporaryFolder(), 'queue');
    const { queued } = await start({ connection: `pglite://${folder}` });
    expect(await queued()).toMatchObject({ reachable: true, batches: { waiting: 0 }, workers: { alive: 1 } });
    expect(existsSync(folder)).toBe(false);
  });
});

/** What the indicator asks. */
function reader(health: MailHealthIndicator): object {
  return (health as unknown as { queue: { reader: object } }).queue.reader;
}
