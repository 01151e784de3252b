import { expect, it } from 'vitest';
import { spawnTs, type TsChild } from '../support/child.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';

const RECIPIENTS = 6_000;
const CONNECTIONS = 10;
/** Accepted while one checkpoint was on its way; a handful in practice, more where the machine is busy. */
const ONE_CHECKPOINT = 100;

it.for(STORES.filter(({ name }) => name !== 'postgres'))(
  'delivers 6,000 messages to everyone on $name though the worker is killed three times',
  { timeout: 240_000 },
  async (store, { annotate }) => {
    const smtp = await startSmtpServer();
    const options = {
      from: 'a@shop.test',
      transports: [{ name: 'main', url: smtp.url, maxConnections: CONNECTIONS }],
      queue: { connection: await store.create(), worker: { lockDuration: '2s' } },
      shutdownTimeout: '5s',
    };
    const start = (...campaign: string[]): TsChild =>
      spawnTs(new URL('./mail-process.mjs', import.meta.url), [JSON.stringify(options), ...campaign]);
    const served = (): number => new Set(smtp.received.flatMap(({ to }) => to)).size;
    const within = 90_000;

    let worker = start('followers', String(RECIPIENTS));
    await worker.line((line) => line === `queued ${RECIPIENTS}`, within);
    for (const killAt of [1_200, 2_700, 4_200]) {
      await eventually(() => smtp.received.length >= killAt, { within });
      await worker.kill('SIGKILL');
      worker = start();
    }
    await eventually(() => served() === RECIPIENTS, { within });
    await worker.line(/booted/);
    await worker.kill('SIGTERM');

    const addresses = smtp.received.flatMap(({ to }) => to);
    expect(new Set(addresses).size).toBe(RECIPIENTS);
    const duplicates = addresses.length - RECIPIENTS;
    await annotate(`${store.name}: ${duplicates} of ${RECIPIENTS} were sent twice after three kills`);
    expect(duplicates).toBeLessThanOrEqual(3 * (CONNECTIONS + ONE_CHECKPOINT));
    // A message that is sent again is the same message.
    const ids = new Set(smtp.received.map(({ raw }) => /^Message-ID: (.*)$/im.exec(raw.toString('latin1'))?.[1]));
    expect(ids.size).toBe(RECIPIENTS);
  },
);
