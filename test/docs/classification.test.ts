import 'reflect-metadata';
import { Logger, type LoggerService, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { expect, it, vi } from 'vitest';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailReceipt } from '../../src/nest/sender.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { openPage } from '../support/page.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';

interface Announcements {
  tell(members: string[]): Promise<MailReceipt>;
}

it('the code of docs/classification.md does as it says', async () => {
  const smtp = await startSmtpServer();
  vi.stubEnv('SMTP_URL', smtp.url);
  vi.stubEnv('QUEUE_URL', (await startRedis()).url);
  const page = openPage('docs/classification.md');
  const { ClassifiedMailModule } = await page.load<Record<string, Type>>('src/classified-mail.module.ts');
  const { Announcements } = await page.load<{ Announcements: Type<Announcements> }>('src/announcements.ts');

  const lines: unknown[] = [];
  const quiet = (): void => undefined;
  const logger: LoggerService = { log: quiet, warn: quiet, error: quiet, debug: (line: unknown) => lines.push(line) };
  const module = { module: class AppModule {}, imports: [ClassifiedMailModule!], providers: [Announcements] };
  const app = await NestFactory.createApplicationContext(module, { logger });
  atEnd(() => app.close());
  const mail = app.get(MailService);

  const told = await app.get(Announcements).tell(['ann@mail.test', 'bob@mail.test']);
  const headers = { 'List-Unsubscribe': '<https://shop.example/u>' };
  const listed = await mail.send({ to: 'ann@mail.test', subject: 'News', text: 'x', headers });
  const waited = await mail.send({ to: 'ann@mail.test', subject: 'Your code', text: 'x' });
  const named = await mail.send({ lane: 'priority', to: 'ann@mail.test', subject: 'A', text: 'x', headers });
  expect([told, listed, waited, named].map(({ lane }) => lane)).toEqual(['bulk', 'bulk', 'priority', 'priority']);
  expect(lines).toEqual([
    `Message ${told.id} goes by the bulk lane: classify: markedBulk`,
    `Message ${listed.id} goes by the bulk lane: classify: fromLists`,
    `Message ${waited.id} goes by the priority lane: defaultLane`,
    `Message ${named.id} goes by the priority lane: message`,
  ]);

  await eventually(() => expect(smtp.received).toHaveLength(4));
  const announced = smtp.received.find(({ to }) => to.includes('bob@mail.test'))!;
  expect(announced.to).toEqual(['ann@mail.test', 'bob@mail.test']);
  const { subject, to } = await parse(announced.raw);
  expect(subject).toBe('Summer opening hours');
  expect(to.map(({ address }) => address)).toEqual(['ann@mail.test', 'bob@mail.test']);

  const debug = vi.spyOn(Logger.prototype, 'debug');
  app.useLogger(['warn', 'error']);
  await mail.send({ to: 'ann@mail.test', subject: 'Your code', text: 'x' });
  expect(debug).not.toHaveBeenCalled();
});
