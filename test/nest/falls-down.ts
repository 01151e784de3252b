import { Logger, type DynamicModule } from '@nestjs/common';
import { expect, onTestFinished, vi } from 'vitest';
import { MailModule } from '../../src/nest/mail.module.js';
import type { MailService } from '../../src/nest/mail.service.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';

/** An SMTP server, and the name of the transport that leads to it. */
export interface Provider {
  smtp: TestSmtpServer;
  name: string;
}

export async function provider(name: string): Promise<Provider> {
  return { smtp: await startSmtpServer(), name };
}

/** A mailer with that transport alone. */
export function mailer({ smtp, name }: Provider, mailerName?: string): DynamicModule {
  const transports = [{ name, url: smtp.url, region: 'eu-west-1' }];
  const named = mailerName === undefined ? {} : { name: mailerName };
  return MailModule.forRoot({ from: 'shop@shop.test', transports, queue: false, ...named });
}

/** Until the transport's circuit has opened. */
export async function fallsDown({ smtp }: Provider, mail: MailService): Promise<void> {
  await smtp.stop();
  const send = () => mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' });
  await eventually(async () => {
    await expect(send()).rejects.toThrow();
    expect((await mail.verify())[0]!.circuit).toBe('open');
  });
}

/** What Nest's loggers are told from now on. */
export function logged(level: 'error' | 'warn' | 'log'): () => string[] {
  const spy = vi.spyOn(Logger.prototype, level).mockReturnValue(undefined);
  onTestFinished(() => spy.mockRestore());
  return () => spy.mock.calls.map(([message]) => String(message));
}
