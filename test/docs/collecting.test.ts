import { getQueueToken } from '@nestjs/bullmq';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { Batch } from '../../src/queue/batch.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { openPage } from '../support/page.js';
import { startRedis } from '../support/redis.js';

it('the code of docs/collecting.md queues what was sent when its handler succeeds', async () => {
  const page = openPage('docs/collecting.md');
  const posts = await page.load<{ PostsController: Type; Notifications: Type }>('src/posts.controller.ts');
  const orders = await page.load<{ OrdersService: Type<Orders>; Database: Type }>('src/orders.service.ts');
  const redis = await startRedis();
  const saved: unknown[] = [];
  const database = {
    transaction: <T>(work: () => Promise<T>): Promise<T> => work(),
    save: (order: unknown) => void saved.push(order),
  };
  const module = {
    module: class AppModule {},
    imports: [
      MailModule.forRoot({
        from: 'no-reply@shop.example',
        transports: [new Mailbox()],
        queue: { connection: redis.url, worker: false },
      }),
    ],
    controllers: [posts.PostsController],
    providers: [posts.Notifications, orders.OrdersService, { provide: orders.Database, useValue: database }],
  };
  const app = await NestFactory.create(module, { logger: false, abortOnError: false });
  onTestFinished(() => app.close());
  await app.listen(0, '127.0.0.1');
  await app.get(MailService).queue();
  const publish = async (title: string): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${await app.getUrl()}/posts`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ title }),
    });
    return response.status;
  };
  const subjects = async (): Promise<string[]> => {
    const jobs = await app.get<Queue>(getQueueToken('mail')).getJobs(['prioritized', 'wait']);
    return jobs.flatMap(({ data }) => (data as Batch).items.map(({ subject = '' }) => subject)).sort();
  };

  expect(await publish('')).toBe(500);
  expect(await subjects()).toEqual([]);
  expect(await publish('Spring')).toBe(201);
  expect(await subjects()).toEqual(['New: Spring', 'New: Spring']);
  for (let twice = 0; twice < 2; twice++) {
    await app.get(orders.OrdersService).place({ id: '7', watchers: ['eve@readers.example'] });
  }
  expect(await subjects()).toEqual(['New: Spring', 'New: Spring', 'Order 7']);
});

interface Orders {
  place(order: { id: string; watchers: string[] }): Promise<void>;
}
