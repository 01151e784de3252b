import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { ConsoleLogger, type DynamicModule, type INestApplicationContext, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { MemoryAttachmentStore } from '../../src/attachments/memory-store.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions, QueueConfig } from '../../src/nest/options/types.js';
import { getMailPartsToken, REAL_PARTS, type MailParts, type OpenedQueue } from '../../src/nest/parts.js';
import { MailQueue } from '../../src/queue/mail-queue.js';
import { MemoryBackend } from '../../src/testing/memory-backend.js';
import { Memory } from '../../src/testing/memory-store.js';
import { atEnd } from './cleanup.js';
import { storeBeside } from './attachment-stores.js';
import { IN_MEMORY } from './stores.js';

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
  const inMemory = queue && queue.connection === IN_MEMORY;
  const module = MailModule.forRoot({
    from: 'Shop <no-reply@shop.test>',
    transports: [{ name: 'main', url: smtp ?? 'smtp://127.0.0.1:1' }],
    shutdownTimeout: '5s',
    ...options,
    attachments: { ...storeBeside(queue), ...options.attachments },
    queue: queue && { retry: QUICK_RETRY, ...queue, ...(inMemory ? { connection: 'redis://nowhere.invalid' } : {}) },
  });
  const root = { module: AppModule, imports: [module], providers };
  const context = inMemory
    ? await startInMemory(root)
    : await NestFactory.createApplicationContext(root, { logger: false });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= context.close());
  atEnd(close);
  return { context, mail: context.get(MailService), close };
}

/** Its queue in memory, and everything else as it is. */
async function startInMemory(root: DynamicModule): Promise<INestApplicationContext> {
  const parts: MailParts = {
    ...REAL_PARTS,
    openQueue(settings, { onError }) {
      const store = new Memory();
      const backend = new MemoryBackend(settings.name, Date.now);
      const attachments = new MemoryAttachmentStore();
      const create: OpenedQueue['create'] = (routes, events, preparation) =>
        new MailQueue(settings, { store, backend, attachments }, { routes, events, preparation, onError });
      return Promise.resolve({ store, create });
    },
  };
  const builder = Test.createTestingModule({ imports: [root] }).setLogger(new ConsoleLogger({ logLevels: [] }));
  return (await builder.overrideProvider(getMailPartsToken()).useValue(parts).compile()).init();
}
