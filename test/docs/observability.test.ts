import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { register } from 'prom-client';
import { expect, it, onTestFinished, vi } from 'vitest';
import { MailService } from '../../src/nest/mail.service.js';
import { eventually } from '../support/eventually.js';
import { openPage } from '../support/page.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { readPage, tableRows } from '../support/snippets.js';
import { temporaryFolder } from '../support/temp.js';

/** Boots the application that a page opens with. */
async function open(page: string) {
  const smtp = await startSmtpServer();
  vi.stubEnv('SMTP_URL', smtp.url);
  vi.stubEnv('QUEUE_URL', (await startRedis()).url);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { AppModule } = await openPage(page).load<{ AppModule: Type }>('src/app.module.ts');
  const app = await NestFactory.create(AppModule, { logger: false });
  onTestFinished(() => app.close());
  await app.listen(0, '127.0.0.1');
  return app;
}

it('docs/metrics.md opens with an application that is scraped, and has every metric with its labels', async () => {
  // The page says nothing of a queue, which is then a folder beside the application.
  const before = process.cwd();
  process.chdir(temporaryFolder());
  onTestFinished(() => process.chdir(before));
  const app = await open('docs/metrics.md');
  await app.get(MailService).send({ to: 'ann@x.test', subject: 'x', text: 'x' });
  const response = await fetch(`${await app.getUrl()}/metrics`);
  expect(response.headers.get('content-type')).toContain('text/plain');
  const told = await response.text();
  expect(told).toContain('mail_messages_total{mailer="default",lane="priority",transport="main",outcome="sent"} 1');

  const shown = tableRows(readPage('docs/metrics.md')).map(([name = '', type, labels = '']) => {
    const names = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label);
    return [name.replaceAll('`', ''), type, ['mailer', ...names]];
  });
  const registered = register.getMetricsAsArray().map(({ name, ...metric }) => {
    const { labelNames } = metric as unknown as { labelNames: string[] };
    return [name, new RegExp(`^# TYPE ${name} (\\w+)$`, 'm').exec(told)?.[1], labelNames];
  });
  expect(shown).toEqual(registered);
});

it('docs/tracing.md opens with an application that is traced, and has every span and attribute', async () => {
  const exporter = new InMemorySpanExporter();
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  const app = await open('docs/tracing.md');
  const mail = app.get(MailService);
  await mail.sendBulk({ subject: 'x', text: 'x', recipients: [{ to: 'ann@x.test' }] });
  await mail.send({ to: 'ann@x.test', subject: 'x', text: 'x' });
  const spans = await eventually(() => {
    const all = exporter.getFinishedSpans();
    expect(all.map(({ name }) => name)).toContain('mail batch');
    return all;
  });
  const names = tableRows(readPage('docs/tracing.md')).flatMap(([cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!),
  );
  const made = spans.flatMap(({ name, attributes }) => [name, ...Object.keys(attributes)]);
  expect(names).toEqual(expect.arrayContaining([...new Set(made)]));
  // Those of a failure, and of recipients that were refused.
  const elsewhere = ['mail.phase', 'mail.smtp.enhanced_code', 'mail.recipients.rejected', 'mail.recipients.duplicate'];
  expect(names.filter((name) => !made.includes(name) && !elsewhere.includes(name))).toEqual([]);
});
