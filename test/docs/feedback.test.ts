import 'reflect-metadata';
import { createHmac } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { expect, it, vi } from 'vitest';
import type { FeedbackSource } from '../../src/feedback/source.js';
import { MailService } from '../../src/nest/mail.service.js';
import { postfixBounce } from '../support/bounce-mails.js';
import { atEnd } from '../support/cleanup.js';
import { openPage } from '../support/page.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { readPage, tableRows } from '../support/snippets.js';
import { eventually } from '../support/eventually.js';
import { membersOf } from './declared.js';

const page = openPage('docs/feedback.md');

it('docs/feedback.md opens with an application that takes a bounce', async () => {
  const smtp = await startSmtpServer();
  const token = 'T'.repeat(32);
  const environment = { SMTP_URL: smtp.url, QUEUE_URL: (await startRedis()).url, BOUNCES_TOKEN: token };
  for (const [name, value] of Object.entries({ ...environment, BOUNCES_SECRET: 'S'.repeat(32) }))
    vi.stubEnv(name, value);
  const { MailFeedbackExample, DeadAddresses } = await page.load<{
    MailFeedbackExample: Type;
    DeadAddresses: Type<{ found: string[] }>;
  }>('src/mail-feedback.ts');
  const app = await NestFactory.create(MailFeedbackExample, { logger: false });
  await app.listen(0, '127.0.0.1');
  atEnd(() => app.close());
  const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
  const mail = app.get(MailService);
  const recipient = 'gone@readers.test';
  const { id, messageId } = await mail.send({ lane: 'bulk', to: recipient, subject: 'x', text: 'x' });
  await eventually(() => smtp.received.length === 1);
  const bounce = postfixBounce({ to: smtp.received[0]!.from, recipient, messageId });
  const answer = await fetch(`http://127.0.0.1:${port}/mail-feedback/dsn`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: bounce,
  });
  expect(await answer.json()).toMatchObject({ kind: 'report', accepted: 1, matched: 1 });
  await eventually(() => expect(app.get(DeadAddresses).found).toEqual([recipient]));
  expect((await mail.status(id))?.recipients[0]?.feedback?.bounced?.permanent).toBe(true);
  expect(await mail.suppressions.get(recipient)).toMatchObject([{ scope: 'all', reason: 'hard-bounce' }]);
});

it('docs/feedback.md shows a source that believes what is signed', async () => {
  const { Courier } = await page.load<{ Courier: new (secret: string) => FeedbackSource }>('src/courier.ts');
  const courier = new Courier('secret');
  const body = Buffer.from(JSON.stringify([{ id: '1', kind: 'bounce', to: 'a@b.test', time: '2030-01-01T00:00:00Z' }]));
  const signed = { 'courier-signature': createHmac('sha256', 'secret').update(body).digest('hex') };
  const [report] = await courier.read({ headers: signed, body, now: new Date() });
  expect(report).toMatchObject({ key: '1', type: 'bounced', permanent: true, address: 'a@b.test' });
  await expect(courier.read({ headers: {}, body, now: new Date() })).rejects.toMatchObject({ reason: 'forged' });
});

it('docs/feedback.md has every option of MailFeedbackModule', () => {
  const declared = [...membersOf('src/nest/feedback/options.ts', 'MailFeedbackOptions').keys()];
  const shown = tableRows(readPage('docs/feedback.md')).map(([option = '']) => option.replaceAll('`', ''));
  expect(shown).toEqual(expect.arrayContaining(declared.filter((option) => !option.includes('.'))));
});

it('docs/ses.md shows a module that takes what SNS posts', async () => {
  const { SesFeedbackModule } = await openPage('docs/ses.md').load<{ SesFeedbackModule: Type }>(
    'src/ses-feedback.module.ts',
  );
  expect(SesFeedbackModule).toBeTypeOf('function');
});
