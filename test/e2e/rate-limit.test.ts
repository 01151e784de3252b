import { expect, it } from 'vitest';
import { startMail } from '../support/app.js';
import { spawnTs } from '../support/child.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';

const MESSAGES = 60;
const LIMIT = 20;
const SPAN = 1_000;
/** On a busy machine a message arrives this much later than it was counted; the next span's may then be nearer to it. */
const LATE = 200;
/** What any span may have: PostgreSQL counts in windows, of which two can be filled back to back. */
const MOST = { redis: LIMIT, postgres: 2 * LIMIT, embedded: LIMIT };

it.for(STORES.filter(({ name }) => name !== 'embedded'))(
  'two processes on $name keep to a rate limit together, and deliver everything once',
  { timeout: 60_000 },
  async (store, { annotate }) => {
    // The provider has a door for each process, which tells by whom a message was sent.
    const doors = [await startSmtpServer(), await startSmtpServer()];
    const connection = await store.create();
    const app = await startMail({ queue: { connection, batch: { size: 5 }, worker: false } });
    const recipients = Array.from({ length: MESSAGES }, (_, n) => ({ to: `reader${n}@readers.test` }));
    const workers = doors.map(({ url }) => {
      // A message that got leave waits for no other.
      const transports = [{ name: 'main', url, maxConnections: 1, rateLimit: { messages: LIMIT, per: SPAN } }];
      const options = { from: 'a@shop.test', transports, queue: { connection, worker: { batches: 1 } } };
      return spawnTs(new URL('./mail-process.mjs', import.meta.url), [JSON.stringify(options)]);
    });
    await Promise.all(workers.map((worker) => worker.line(/booted/)));

    const begun = Date.now();
    const { id } = await app.mail.sendBulk({ subject: 'A post', text: 'x', recipients });
    await eventually(async () => expect((await app.mail.campaign(id))?.state).toBe('completed'), { within: 40_000 });

    const received = doors.flatMap((door) => door.received);
    expect(received.flatMap(({ to }) => to).sort()).toEqual(recipients.map(({ to }) => to).sort());
    for (const door of doors) expect(door.received).not.toEqual([]);
    const times = received.map(({ at }) => at).sort((a, b) => a - b);
    // However late others are, none comes before there was room for it.
    for (const full of [LIMIT, 2 * LIMIT]) expect(times[full]! - begun).toBeGreaterThanOrEqual((full / LIMIT) * SPAN);
    const mostIn = (span: number): number =>
      Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + span).length));
    const shares = doors.map((door) => door.received.length).join(' and ');
    await annotate(`${store.name}: ${mostIn(SPAN)} messages in ${SPAN} ms at most; the processes sent ${shares}`);
    expect(mostIn(SPAN - LATE)).toBeLessThanOrEqual(MOST[store.name]);
    await Promise.all(workers.map((worker) => worker.kill('SIGTERM')));
  },
);
