import { expect, it } from 'vitest';
import { spawnTs } from '../support/child.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';

const RECIPIENTS = 20;
/** Three before its batch is delivered singly, and two more of the same message. */
const DEATHS = 5;

it.concurrent.for(STORES.filter(({ name }) => name !== 'postgres'))(
  'a message that kills its worker does so no more than five times on $name, and everybody else is served',
  { timeout: 120_000 },
  async (store, { expect: expects }) => {
    const smtp = await startSmtpServer();
    const options = JSON.stringify({
      from: 'a@shop.test',
      transports: [{ name: 'main', url: smtp.url, maxConnections: 2 }],
      queue: { connection: await store.create(), worker: { lockDuration: '1s' } },
    });
    const start = (...campaign: string[]) =>
      spawnTs(new URL('./deadly-process.mjs', import.meta.url), [options, ...campaign]);
    let worker = start('deadly', String(RECIPIENTS));
    for (let death = 0; death < DEATHS; death++) {
      expects((await worker.exit).signal).toBe('SIGKILL');
      worker = start();
    }
    expects(await worker.line(/^failed/, 30_000)).toContain('2 workers died while they were delivering it');
    await worker.line((line) => line === `completed ${RECIPIENTS - 1} 1`, 5_000);
    await worker.kill('SIGTERM');
    const served = new Set(smtp.received.flatMap(({ to }) => to));
    expect(served.size).toBe(RECIPIENTS - 1);
  },
);
