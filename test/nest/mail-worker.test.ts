import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { getMailWorkerToken, InjectMailWorker, MailWorker } from '../../src/nest/mail-worker.js';
import type { QueueConfig } from '../../src/nest/options/types.js';
import { temporaryFolder } from '../support/temp.js';
import { boot, into } from './boot.js';

const NOTHING = { reason: 'empty', batches: 0, sent: 0, failed: 0, deferred: 0 };

const worker = async (queue: QueueConfig | false): Promise<MailWorker> =>
  (await boot({ imports: [MailModule.forRoot({ ...into(), queue })] })).get(MailWorker);
const folder = (): string => join(temporaryFolder(), 'queue');

it.each([
  ['worker: false', { worker: false }],
  ['worker: { autorun: false }', { worker: { autorun: false } }],
] as const)('finds nothing to do with %s where nothing was ever queued, and creates nothing', async (_, queue) => {
  const path = folder();
  const worked = await worker({ connection: `pglite://${path}`, ...queue });
  expect(await worked.runUntil({ deadline: '30s' })).toEqual(NOTHING);
  expect(existsSync(path)).toBe(false);
});

it('is injected for a named mailer', async () => {
  @Injectable()
  class Cron {
    constructor(@InjectMailWorker('news') readonly news: MailWorker) {}
  }
  const queue = { connection: `pglite://${folder()}`, worker: false } as const;
  const app = await boot({ imports: [MailModule.forRoot({ ...into(), name: 'news', queue })], providers: [Cron] });
  expect(app.get(Cron).news).toBe(app.get(getMailWorkerToken('news')));
  expect(() => app.get(MailWorker)).toThrow();
});

it('says what to set where a worker runs already', async () => {
  for (const queue of [{}, { worker: {} }, { worker: { autorun: true } }]) {
    const running = (await worker({ connection: `pglite://${folder()}`, ...queue })).runUntil({ deadline: '1s' });
    await expect(running).rejects.toThrow(MailConfigError);
    await expect(running).rejects.toThrow('Set queue.worker: false, or queue.worker: { autorun: false }.');
  }
});

it('says that there is no bulk lane', async () => {
  const running = (await worker(false)).runUntil({ deadline: '1s' });
  await expect(running).rejects.toThrow(MailConfigError);
  await expect(running).rejects.toThrow('queue: false');
});

it.each([
  [new Date('2020-01-01T00:00:00Z'), 'runUntil({ deadline }) is 2020-01-01T00:00:00.000Z. Give a Date,'],
  [new Date(NaN), 'runUntil({ deadline }) is Invalid Date.'],
  [new Date(Date.now() + 90 * 86_400_000), 'at most 24 days ahead'],
  [NaN, 'runUntil({ deadline }) is NaN.'],
  [0, 'runUntil({ deadline }) is 0.'],
  [-5, 'runUntil({ deadline }) is -5.'],
  [Infinity, 'runUntil({ deadline }) is Infinity.'],
  ['soon', 'runUntil({ deadline }) is "soon".'],
  [undefined, 'runUntil({ deadline }) is undefined.'],
])('refuses the deadline %s', async (deadline, message) => {
  const running = (await worker({ connection: `pglite://${folder()}`, worker: false })).runUntil({
    deadline: deadline as Date,
  });
  await expect(running).rejects.toThrow(MailConfigError);
  await expect(running).rejects.toThrow(message);
});

it('refuses another empty than true and false', async () => {
  const options = { deadline: '1s', empty: 'no' as unknown as boolean } as const;
  const running = (await worker({ connection: `pglite://${folder()}`, worker: false })).runUntil(options);
  await expect(running).rejects.toThrow('runUntil({ empty }) is no. Give true or false.');
});
