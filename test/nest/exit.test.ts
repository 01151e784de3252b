import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MailQueueUnavailableError } from '../../src/errors.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { spawnTs, type ChildExit } from '../support/child.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { pgliteFolder } from '../support/pglite.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { boot } from './boot.js';

function spawn(smtp: string, queue: object | false, ...steps: string[]) {
  const options = { from: 'shop@shop.test', transports: [{ name: 'main', url: smtp }], queue, shutdownTimeout: '1s' };
  return spawnTs(new URL('./exit-process.ts', import.meta.url), [JSON.stringify(options), ...steps]);
}

const embedded = async () => ({ connection: `pglite://${dirname(await pgliteFolder())}` });

describe('after app.close()', () => {
  it.concurrent.each<[string, () => Promise<object | false>, string[]]>([
    ['with a queue on Redis', async () => ({ connection: (await startRedis()).url }), ['priority', 'bulk']],
    ['with the embedded queue', embedded, ['priority', 'bulk']],
    ['without a queue', () => Promise.resolve(false), ['priority']],
    ['when nothing was sent', async () => ({ connection: (await startRedis()).url }), []],
  ])('the process ends by itself %s', { timeout: 60_000 }, async (_, queue, steps) => {
    const smtp = await startSmtpServer();
    const child = spawn(smtp.url, await queue(), ...steps);
    let exit: ChildExit | undefined;
    void child.exit.then((ended) => (exit = ended));
    await child.line(/^closed$/, 50_000);
    expect(await eventually(() => exit ?? false, { within: 5_000 })).toEqual({ code: 0, signal: null });
    // Nothing but what the program itself prints: no warning, no error.
    expect(child.lines).toEqual(['sent', 'closed']);
    expect(smtp.received).toHaveLength(Number(steps.includes('priority')) + 20 * Number(steps.includes('bulk')));
  });
});

it('the process ends by itself after app.close() though Redis was never there', { timeout: 60_000 }, async () => {
  const smtp = await startSmtpServer();
  const child = spawn(smtp.url, { connection: `redis://127.0.0.1:${await freePort()}` }, 'priority');
  await child.line(/^closed$/, 50_000);
  let exit: ChildExit | undefined;
  void child.exit.then((ended) => (exit = ended));
  expect(await eventually(() => exit ?? false, { within: 10_000 })).toEqual({ code: 0, signal: null });
});

describe('the embedded queue', () => {
  it('refuses a second process and names the first, until that has died', { timeout: 60_000 }, async () => {
    const smtp = await startSmtpServer();
    const queue = await embedded();
    const first = spawn(smtp.url, queue, 'bulk', 'stay');
    await first.line(/^sent$/, 50_000);

    const second = () =>
      boot({
        imports: [
          MailModule.forRoot({ from: 'a@shop.test', transports: [new Mailbox()], queue, shutdownTimeout: '1s' }),
        ],
      });
    const booting = second();
    await expect(booting).rejects.toThrow(MailQueueUnavailableError);
    await expect(booting).rejects.toThrow(
      `is in use by process ${first.pid}. One process at a time can open it: stop the other one, give this one a folder of ` +
        'its own (queue.connection), or use Redis or PostgreSQL for several.',
    );

    await first.kill('SIGKILL');
    const mail = (await second()).get(MailService);
    expect(await mail.send({ lane: 'bulk', to: 'ann@mail.test', subject: 'Hi', text: 'Hi' })).toMatchObject({
      status: 'queued',
    });
  });
});
