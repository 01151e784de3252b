import { Logger } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from 'vitest';
import { startMail } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startRedis, type RedisServer } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';

/** Of a user that may do everything but these. */
const without = (...commands: string[]): string[] => [
  ...['--user', 'default', 'on', 'nopass', '~*', '&*', '+@all'],
  ...commands.map((command) => `-${command}`),
];
const EVICTING = ['--maxmemory-policy', 'allkeys-lru'];

describe('a Redis that evicts', () => {
  let warn: MockInstance;
  let console_: MockInstance;
  beforeEach(() => {
    warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
    console_ = vi.spyOn(console, 'warn').mockReturnValue(undefined);
  });
  afterEach(() => vi.restoreAllMocks());

  const warnings = (): string[] =>
    warn.mock.calls
      .flat()
      .map(String)
      .filter((text) => text.includes('maxmemory-policy'));

  /** What is warned of until a mail has gone through, by which every connection has been made. */
  async function warned({ url }: Pick<RedisServer, 'url'>): Promise<string[]> {
    const smtp = await startSmtpServer();
    const app = await startMail({ smtp: smtp.url, queue: { connection: url } });
    const { id } = await app.mail.send({ lane: 'bulk', to: 'ann@readers.test', subject: 'x', text: 'x' });
    await eventually(async () => expect((await app.mail.status(id))?.state).toBe('sent'));
    await app.close();
    return warnings();
  }

  const SAYS = [expect.stringMatching(/maxmemory-policy allkeys-lru.*is lost.*Set maxmemory-policy noeviction/)];

  it('is warned of in the log, once, and not on the console', async () => {
    expect(await warned(await startRedis({ args: EVICTING }))).toEqual(SAYS);
    expect(console_).not.toHaveBeenCalled();
  });

  it('is noticed where CONFIG is forbidden', async () => {
    expect(await warned(await startRedis({ args: [...EVICTING, ...without('config')] }))).toEqual(SAYS);
  });

  it('cannot be noticed where INFO is forbidden too', async () => {
    const redis = await startRedis({ args: [...EVICTING, ...without('config', 'info')] });
    const smtp = await startSmtpServer();
    // BullMQ's worker needs INFO.
    const app = await startMail({ smtp: smtp.url, queue: { connection: redis.url, worker: false } });
    await app.mail.send({ lane: 'bulk', to: 'ann@readers.test', subject: 'x', text: 'x' });
    await app.close();
    expect(warnings()).toEqual([]);
  });

  it('is the only one warned of', async () => {
    expect(await warned(await startRedis())).toEqual([]);
    expect(console_).not.toHaveBeenCalled();
  });
});
