import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext, Provider } from '@nestjs/common';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions, QueueConfig } from '../../src/nest/options/types.js';
import { atEnd } from './cleanup.js';

export interface MailApp {
  readonly mail: MailService;
  readonly context: INestApplicationContext;
  close(): Promise<void>;
}

export type MailAppOptions = Partial<Omit<MailModuleOptions, 'queue'>> & {
  smtp?: string;
  queue?: QueueConfig | false;
  /** The application's own. */
  providers?: Provider[];
};

/** Retries within a test's patience. */
export const QUICK_RETRY = { firstPause: 50, maxPause: 200, greylistPause: 50 } as const;

/** Boots a Nest application context with the mail module, closed when the test file ends. */
export async function startMail({ smtp, queue, providers = [], ...options }: MailAppOptions): Promise<MailApp> {
  class AppModule {}
  const module = MailModule.forRoot({
    from: 'Shop <no-reply@shop.test>',
    transports: [{ name: 'main', url: smtp ?? 'smtp://127.0.0.1:1' }],
    shutdownTimeout: '5s',
    ...options,
    queue: queue && { retry: QUICK_RETRY, ...queue },
  });
  const context = await NestFactory.createApplicationContext(
    { module: AppModule, imports: [module], providers },
    { logger: false },
  );
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= context.close());
  atEnd(close);
  return { context, mail: context.get(MailService), close };
}
