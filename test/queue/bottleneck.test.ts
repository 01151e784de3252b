import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { boundBy, Bottleneck, type Gauges } from '../../src/queue/bottleneck.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';

describe('what is looked at', () => {
  let gauges: Record<keyof Gauges, boolean>;
  let loop: { active: number; idle: number };

  const watch = (): Bottleneck =>
    new Bottleneck({
      rateLimited: () => gauges.rateLimited,
      storeHolds: () => gauges.storeHolds,
      connectionsBusy: () => gauges.connectionsBusy,
      roomAwaited: () => gauges.roomAwaited,
    });

  /** Lets time pass, for a share of which the event loop is busy. */
  function pass(milliseconds: number, busy = 0): void {
    for (let left = milliseconds; left > 0; left -= 50) {
      const step = Math.min(left, 50);
      loop.active += step * busy;
      loop.idle += step * (1 - busy);
      vi.advanceTimersByTime(step);
    }
  }

  beforeEach(() => {
    gauges = { rateLimited: false, storeHolds: false, connectionsBusy: false, roomAwaited: false };
    loop = { active: 0, idle: 0 };
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
    vi.spyOn(performance, 'eventLoopUtilization').mockImplementation((now = undefined, before = undefined) => {
      const of = ({ active, idle }: Omit<EventLoopUtilization, 'utilization'>): EventLoopUtilization => ({
        active,
        idle,
        utilization: active / (active + idle || 1),
      });
      return now && before ? of({ active: now.active - before.active, idle: now.idle - before.idle }) : of(loop);
    });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it.each<[string, Partial<typeof gauges>, number, ReturnType<typeof boundBy>]>([
    [
      'a rate limit, whatever else there is',
      { rateLimited: true, storeHolds: true, connectionsBusy: true },
      1,
      'rate limit',
    ],
    [
      'slow checkpoints, also where they keep the process busy',
      { storeHolds: true, connectionsBusy: true },
      1,
      'store',
    ],
    ['the provider, while it is given less than the connections could carry', { roomAwaited: true }, 0.5, 'provider'],
    ['the connections, while all of them are in use', { roomAwaited: true, connectionsBusy: true }, 0.5, 'connections'],
    ['the event loop, once it is busy for 85 % of the time', { connectionsBusy: true }, 0.85, 'cpu'],
    ['the event loop, not when it is busy for less', { connectionsBusy: true }, 0.84, 'connections'],
    ['connections that are all in use', { connectionsBusy: true }, 0, 'connections'],
    ['the store, when nothing else is to be seen', {}, 0.3, 'store'],
  ])('is %s', (_, seen, busy, limit) => {
    Object.assign(gauges, seen);
    const bottleneck = watch();
    bottleneck.begin('c');
    pass(500, busy);
    expect(boundBy(bottleneck.end('c'))).toBe(limit);
  });

  it('is what was there for most of the time, over all batches', () => {
    const bottleneck = watch();
    bottleneck.begin('c');
    gauges.connectionsBusy = true;
    pass(400);
    gauges.connectionsBusy = false;
    pass(300);
    expect(boundBy(bottleneck.end('c'))).toBe('connections');
    // Nobody looks between two batches.
    pass(1_000);
    bottleneck.begin('c');
    pass(200);
    expect(boundBy(bottleneck.end('c'))).toBe('store');
  });

  it('is seen once of a run that is shorter than the interval', () => {
    gauges.connectionsBusy = true;
    const bottleneck = watch();
    bottleneck.begin('c');
    pass(10);
    expect(boundBy(bottleneck.end('c'))).toBe('connections');
  });

  it('counts for each campaign that is under way, and for no other', () => {
    const bottleneck = watch();
    bottleneck.begin('a');
    bottleneck.begin('a');
    bottleneck.begin('b');
    gauges.connectionsBusy = true;
    pass(100);
    expect(boundBy(bottleneck.end('a'))).toBe('connections');
    gauges.connectionsBusy = false;
    bottleneck.end('b');
    pass(300);
    expect(boundBy(bottleneck.end('a'))).toBe('store');
    bottleneck.begin('b');
    expect(boundBy(bottleneck.end('b'))).toBe('connections');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is the time that batches are held, counted once when several wait at the same time', () => {
    const bottleneck = watch();
    bottleneck.begin('c');
    gauges.connectionsBusy = true;
    pass(1_500);
    bottleneck.held('c', 'provider', Date.now() + 1_000);
    bottleneck.held('c', 'provider', Date.now() + 1_000);
    bottleneck.held('c', 'provider', Date.now() + 900);
    bottleneck.held('c', 'provider', Date.now() - 5_000);
    expect(boundBy(bottleneck.end('c'))).toBe('connections');
    bottleneck.begin('c');
    bottleneck.held('c', 'provider', Date.now() + 1_600);
    expect(boundBy(bottleneck.end('c'))).toBe('provider');
  });

  it('is summed over processes, each of which has a field of its own', () => {
    const [one, other] = [watch(), watch()];
    one.begin('c');
    pass(300);
    const first = one.end('c');
    gauges.rateLimited = true;
    other.begin('c');
    pass(200);
    const second = other.end('c');
    expect(boundBy({ ...first, ...second })).toBe('store');
    other.begin('c');
    pass(200);
    expect(boundBy({ ...first, ...second, ...other.end('c') })).toBe('rate limit');
  });

  it('is nothing that is known before anybody has looked', () => {
    expect(boundBy({})).toBeUndefined();
    const bottleneck = watch();
    bottleneck.begin('c');
    expect(boundBy(bottleneck.end('c'))).toBeUndefined();
  });

  it('is forgotten of the oldest of a hundred campaigns, unless it is under way', () => {
    const bottleneck = watch();
    gauges.connectionsBusy = true;
    bottleneck.begin('long');
    bottleneck.begin('past');
    pass(1_000);
    const before = bottleneck.end('past');
    gauges.connectionsBusy = false;
    for (let count = 0; count < 100; count++) {
      bottleneck.begin(`other-${count}`);
      bottleneck.held(`other-${count}`, 'provider', Date.now() + 1);
      bottleneck.end(`other-${count}`);
    }
    bottleneck.begin('past');
    pass(100);
    const after = bottleneck.end('past');
    expect(boundBy(after)).toBe('store');
    // What was written then is not written over.
    expect(boundBy({ ...before, ...after })).toBe('connections');
    expect(boundBy(bottleneck.end('long'))).toBe('connections');
  });
});

describe('a campaign’s report', () => {
  const post = { subject: 'x', text: 'x' };
  const people = (count: number): { to: string }[] =>
    Array.from({ length: count }, (_, n) => ({ to: `p${n}@readers.test` }));
  /** What a batch waited for is written after its last fact. */
  const reported = (app: MailApp, id: string, report: object): Promise<unknown> =>
    eventually(async () => expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed', ...report }), {
      within: 20_000,
    });
  const start = async (transport: object): Promise<MailApp> =>
    startMail({
      transports: [{ name: 'main', url: '', ...transport }],
      queue: { connection: (await startRedis()).url },
    });

  it('names the rate limit', async () => {
    const { url } = await startSmtpServer();
    const app = await start({ url, rateLimit: { messages: 3, per: '1s' } });
    const { id } = await app.mail.sendBulk({ ...post, recipients: people(8) });
    await reported(app, id, { sent: 8, boundBy: 'rate limit' });
  });

  it('names the connections, where one waits for a slow server', async () => {
    const { url } = await startSmtpServer({ delay: 100 });
    const app = await start({ url, maxConnections: 1 });
    const { id } = await app.mail.sendBulk({ ...post, recipients: people(15) });
    await reported(app, id, { sent: 15, boundBy: 'connections' });
  });

  it('names the provider, while it is down and afterwards', async () => {
    const server = await startSmtpServer();
    server.pause();
    const app = await start({ url: server.url });
    const { id } = await app.mail.sendBulk({ ...post, recipients: people(3) });
    await eventually(async () => expect(await app.mail.campaign(id)).toMatchObject({ boundBy: 'provider', sent: 0 }));
    await server.resume();
    await reported(app, id, { sent: 3, boundBy: 'provider' });
  });
});
