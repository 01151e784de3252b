import { getSharedConfigToken } from '@nestjs/bullmq';
import {
  ConfigurableModuleBuilder,
  Logger,
  Module,
  type DynamicModule,
  type InjectionToken,
  type Provider,
} from '@nestjs/common';
import { APP_INTERCEPTOR, DiscoveryModule, DiscoveryService, MetadataScanner, ModuleRef } from '@nestjs/core';
import { MailConfigError } from '../errors.js';
import { CollectCheck } from './collect-check.js';
import { CollectRequests } from './collect-requests.js';
import { getMailToken } from './inject-mail.js';
import { MailEngine } from './mail-engine.js';
import { createMailer } from './mailer.js';
import { getMailHealthToken, MailHealthIndicator } from './mail-health.js';
import { getMailWorkerToken, MailWorker } from './mail-worker.js';
import { Mailables } from './mailables.js';
import { MailService } from './mail.service.js';
import { MailerService } from './mailer.service.js';
import { MailListeners } from './on-mail.js';
import { parseOptions, type HostQueueConfig } from './options/parse.js';
import type { MailModuleExtras, MailModuleOptions } from './options/types.js';
import { getMailPartsToken, REAL_PARTS, type MailParts } from './parts.js';
import { queueProvider } from './queue.provider.js';

const NAME = /^[A-Za-z0-9_-]{1,50}$/;

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<MailModuleOptions>({ moduleName: 'Mail' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createMailOptions')
    .setExtras<MailModuleExtras>({ isGlobal: true, name: undefined }, addMailer)
    .build();

/** The options of `MailModule.forRoot()`, `name` and `isGlobal` among them. */
export type MailModuleRootOptions = typeof OPTIONS_TYPE;
/** The options of `MailModule.forRootAsync()`. */
export type MailModuleAsyncOptions = typeof ASYNC_OPTIONS_TYPE;

/**
 * Gives the application a `MailService`, and the BullMQ queue `mail` (or `mail-<name>`) to `@InjectQueue`.
 *
 * ```ts
 * MailModule.forRoot({
 *   from: 'Shop <no-reply@shop.example>',
 *   transports: [{ name: 'main', url: 'smtps://user:password@smtp.example' }],
 *   queue: { connection: 'redis://127.0.0.1:6379' },
 * })
 * ```
 *
 * The options are checked at boot: a wrong one ends it with a `MailConfigError` that names it.
 */
@Module({})
export class MailModule extends ConfigurableModuleClass {}

function addMailer(definition: DynamicModule, { name, isGlobal = true }: MailModuleExtras): DynamicModule {
  if (name !== undefined && (!NAME.test(name) || name === 'default')) {
    throw new MailConfigError(
      `The mail option name is ${JSON.stringify(name)}. Give 1 to 50 letters, digits, _ or -, other than 'default', or none for the default mailer.`,
    );
  }
  const queueName = name === undefined ? 'mail' : `mail-${name}`;
  const engine: InjectionToken = `MailEngine(${name ?? 'default'})`;
  const service = getMailToken(name);
  const health = getMailHealthToken(name);
  const worker = getMailWorkerToken(name);
  const queue = queueProvider(queueName, engine);
  const parts = getMailPartsToken(name);
  const providers: Provider[] = [
    { provide: parts, useValue: REAL_PARTS },
    {
      provide: engine,
      inject: [
        MODULE_OPTIONS_TOKEN,
        ModuleRef,
        parts,
        DiscoveryService,
        { token: getSharedConfigToken(), optional: true },
      ],
      useFactory: async (
        options: MailModuleOptions,
        moduleRef: ModuleRef,
        own: MailParts,
        discovery: DiscoveryService,
        shared?: HostQueueConfig,
      ) => {
        const host = await hostConfig(options, moduleRef, shared);
        const settings = parseOptions(options, queueName, host);
        const mailables = new Mailables(discovery);
        const logger = new Logger(MailModule.name);
        return new MailEngine(await createMailer(settings, name ?? 'default', logger, own, mailables));
      },
    },
    {
      provide: service,
      inject: [engine],
      useFactory: ({ mailer }: MailEngine) => new MailService(mailer),
    },
    {
      provide: health,
      inject: [engine],
      useFactory: ({ mailer: { routes, queue } }: MailEngine) => new MailHealthIndicator(routes, queue),
    },
    {
      provide: worker,
      inject: [engine],
      useFactory: ({ mailer: { queue, settings } }: MailEngine) => new MailWorker(queue, settings.shutdownTimeout),
    },
    {
      provide: APP_INTERCEPTOR,
      inject: [engine],
      useFactory: ({ mailer: { collector, settings } }: MailEngine) =>
        new CollectRequests(collector, settings.collect.requests),
    },
    {
      provide: `MailListeners(${name ?? 'default'})`,
      inject: [engine, DiscoveryService, MetadataScanner],
      useFactory: ({ mailer: { events } }: MailEngine, discovery: DiscoveryService, scanner: MetadataScanner) =>
        new MailListeners(events, name ?? 'default', discovery, scanner),
    },
    {
      provide: CollectCheck,
      inject: [DiscoveryService, MetadataScanner],
      useFactory: (discovery: DiscoveryService, scanner: MetadataScanner) => new CollectCheck(discovery, scanner),
    },
    queue,
  ];
  if (name === undefined) {
    providers.push({
      provide: MailerService,
      inject: [service, engine],
      useFactory: (mail: MailService, { mailer: { settings } }: MailEngine) =>
        new MailerService(mail, settings.rules.from, settings.classify),
    });
  }
  return {
    ...definition,
    global: isGlobal,
    imports: [...(definition.imports ?? []), DiscoveryModule],
    providers: [...(definition.providers ?? []), ...providers],
    exports: [service, health, worker, queue.provide, ...(name === undefined ? [MailerService] : [])],
  };
}

const CONFIG_WITHIN = 5_000;

/** The application's own `BullModule.forRoot`: the shared configuration, or the one that `queue.configKey` names. */
async function hostConfig(
  options: MailModuleOptions,
  moduleRef: ModuleRef,
  shared: HostQueueConfig | undefined,
): Promise<HostQueueConfig | undefined> {
  const key = options?.queue ? options.queue.configKey : undefined;
  if (typeof key !== 'string') return shared;
  // The key may come from an async factory, too late for Nest to wait for that configuration before it makes ours.
  const deadline = Date.now() + CONFIG_WITHIN;
  for (;;) {
    const config = find(moduleRef, getSharedConfigToken(key));
    if (config || config === undefined || Date.now() > deadline) return config ?? undefined;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Undefined: nobody provides it. Null: it is not made yet. */
function find(moduleRef: ModuleRef, token: string): HostQueueConfig | null | undefined {
  try {
    return moduleRef.get<HostQueueConfig | undefined>(token, { strict: false }) ?? null;
  } catch {
    return undefined;
  }
}
