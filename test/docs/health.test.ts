import { Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { expect, it, onTestFinished } from 'vitest';
import type { MailHealthIndicator } from '../../src/nest/mail-health.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { startRedis } from '../support/redis.js';
import { openPage } from '../support/page.js';
import { readPage, tableRows } from '../support/snippets.js';
import { into } from '../nest/boot.js';
import { membersOf } from './declared.js';

const FIELDS = [
  ...membersOf('src/nest/mail-health.ts', 'TransportHealth').keys(),
  ...membersOf('src/nest/queue-health.ts', 'HealthThresholds').keys(),
  ...membersOf('src/queue/reader.ts', 'QueueReport').keys(),
  ...['reachable', 'workers'],
];

it('docs/health.md has every field of a transport and of the queue, and every threshold', () => {
  const shown = tableRows(readPage('docs/health.md')).map(([field = '']) => field.replaceAll('`', ''));
  expect(shown.sort()).toEqual(FIELDS.sort());
});

it('docs/health.md shows controllers that answer 200 and 503', async () => {
  const page = openPage('docs/health.md');
  const { HealthController } = await page.load<{ HealthController: Type }>('src/health.controller.ts');
  const { PlainHealthController } = await page.load<{ PlainHealthController: Type }>('src/plain-health.controller.ts');
  const { NewsHealth } = await page.load<{ NewsHealth: Type<{ check: MailHealthIndicator['isHealthy'] }> }>(
    'src/news-health.ts',
  );
  const redis = await startRedis();
  const queue = { connection: redis.url, worker: false } as const;
  @Module({
    imports: [
      TerminusModule,
      MailModule.forRoot({ ...into(), queue }),
      MailModule.forRoot({ ...into(), name: 'news' }),
    ],
    controllers: [HealthController, PlainHealthController],
    providers: [NewsHealth],
  })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false });
  onTestFinished(() => app.close());
  await app.listen(0, '127.0.0.1');
  const site = await app.getUrl();
  const get = async (path: string) => {
    const response = await fetch(site + path);
    return [response.status, await response.json()] as unknown;
  };
  expect(await get('/health')).toMatchObject([200, { status: 'ok', info: { mail: { queue: { reachable: true } } } }]);
  expect(await get('/plain-health')).toMatchObject([200, { mail: { status: 'up' } }]);
  await app.get(MailService).send({ lane: 'bulk', to: 'ann@mail.test', subject: 'x', text: 'x' });
  expect(await get('/health')).toMatchObject([
    503,
    {
      status: 'error',
      error: {
        mail: {
          status: 'down',
          problems: ['Batches wait, and the processes with a worker are 0, fewer than 1'],
          transports: [{ name: 'mailbox', circuit: 'closed' }],
        },
      },
    },
  ]);
  expect(await get('/plain-health')).toMatchObject([200, { mail: { status: 'up' } }]);
  await redis.stop();
  expect(await get('/plain-health')).toMatchObject([503, { mail: { status: 'down', queue: { reachable: false } } }]);
  expect(await app.get(NewsHealth).check()).toMatchObject({ 'news-mail': { status: 'up' } });
});
