import { expect, it } from 'vitest';
import { spawnTs } from '../support/child.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';

const MAIL_PROCESS = new URL('./mail-process.mjs', import.meta.url);

it.each(STORES)(
  'stops in the middle of a campaign on $name, sends nothing twice, and goes on',
  async (store) => {
    const smtp = await startSmtpServer({ delay: 5 });
    const options = JSON.stringify({
      from: 'a@shop.test',
      transports: [{ name: 'main', url: smtp.url }],
      queue: { connection: await store.create() },
    });
    const first = spawnTs(MAIL_PROCESS, [options, 'campaign', '2000']);
    await eventually(() => smtp.received.length >= 300, { within: 30_000 });
    await first.kill('SIGTERM');
    expect(await first.exit).toEqual({ code: null, signal: 'SIGTERM' });
    const sent = smtp.received.length;
    expect(sent).toBeLessThan(2_000);

    const second = spawnTs(MAIL_PROCESS, [options]);
    await eventually(() => smtp.received.length >= 2_000, { within: 30_000 });
    await second.kill('SIGTERM');
    expect(smtp.received).toHaveLength(2_000);
    expect(new Set(smtp.received.flatMap(({ to }) => to)).size).toBe(2_000);
  },
  90_000,
);

it('lets requests that are under way send and queue mail, and then exits by itself', async () => {
  const smtp = await startSmtpServer();
  const options = {
    from: 'a@shop.test',
    transports: [{ name: 'main', url: smtp.url }],
    queue: { connection: await STORES[0]!.create() },
  };
  const server = spawnTs(new URL('./http-process.ts', import.meta.url), [JSON.stringify(options)]);
  const url = (await server.line(/^listening/)).split(' ')[1]!;
  const answer = fetch(`${url}/slow`, { headers: { connection: 'close' } });
  await server.line(/^request/);
  const stopped = server.kill('SIGTERM');
  await server.line(/^stopping/);
  server.write('go on');
  expect(await (await answer).json()).toEqual(['sent', 'queued']);
  await stopped;
  expect(smtp.received.map(({ to }) => to[0])).toContain('late@readers.test');
});

it('hangs up on a mail server that does not answer when its time is over', async () => {
  const smtp = await startSmtpServer({ delay: 600_000 });
  const options = {
    from: 'a@shop.test',
    transports: [{ name: 'main', url: smtp.url }],
    queue: { connection: 'pglite://memory' },
    shutdownTimeout: '1s',
  };
  const child = spawnTs(MAIL_PROCESS, [JSON.stringify(options), 'campaign', '10']);
  await child.line(/^queued 10/, 30_000);
  await eventually(() => smtp.open > 0);
  await child.kill('SIGTERM');
  expect((await child.exit).signal).toBe('SIGTERM');
});
