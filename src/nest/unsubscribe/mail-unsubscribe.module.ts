import {
  ConfigurableModuleBuilder,
  Inject,
  Logger,
  Module,
  RequestMethod,
  VERSION_NEUTRAL,
  type DynamicModule,
  type MiddlewareConsumer,
  type NestModule,
  type OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { reasonOf } from '../../errors.js';
import { findMailService } from '../find-mail-service.js';
import { UnsubscribeEndpoint } from './endpoint.js';
import { parseUnsubscribePage, type MailUnsubscribeOptions, type UnsubscribePageSettings } from './options.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<MailUnsubscribeOptions>({ moduleName: 'MailUnsubscribe' })
    .setClassMethodName('forRoot')
    .build();

/** The options of `MailUnsubscribeModule.forRootAsync()`. */
export type MailUnsubscribeAsyncOptions = typeof ASYNC_OPTIONS_TYPE;

/**
 * Serves the unsubscribe links of mails: the POST of mail programs (RFC 8058), and a page with a button for readers.
 *
 * ```ts
 * imports: [
 *   MailModule.forRoot({ unsubscribe: { secret, url: 'https://shop.example/unsubscribe' }, … }),
 *   MailUnsubscribeModule.forRoot(),
 * ]
 * ```
 *
 * It is middleware, not a controller: guards, pipes, interceptors and filters of the application do not come before it, nor does
 * a parser of bodies have to be there. It works on Express and Fastify.
 */
@Module({})
export class MailUnsubscribeModule extends ConfigurableModuleClass implements NestModule, OnModuleInit {
  private readonly settings: UnsubscribePageSettings;
  private endpoint: UnsubscribeEndpoint | undefined;

  /** @throws MailConfigError an option is wrong */
  constructor(
    @Inject(MODULE_OPTIONS_TOKEN) options: MailUnsubscribeOptions,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {
    super();
    this.settings = parseUnsubscribePage(options);
  }

  static override forRoot(options: MailUnsubscribeOptions = {}): DynamicModule {
    return super.forRoot(options);
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer
      .apply((request: IncomingMessage, response: ServerResponse, next: () => void) => {
        if (this.endpoint) void this.endpoint.handle(request, response);
        else next();
      })
      .forRoutes({ path: this.settings.path, method: RequestMethod.ALL, version: VERSION_NEUTRAL });
  }

  /** @throws MailConfigError there is no such mailer, or it has no `unsubscribe` */
  onModuleInit(): void {
    const logger = new Logger(MailUnsubscribeModule.name);
    const onError = (error: unknown): void => logger.error(`An unsubscription failed: ${reasonOf(error)}`);
    const { unsubscriptions } = findMailService(this.moduleRef, this.settings.mailer, MailUnsubscribeModule.name);
    // Better now than at the first click.
    unsubscriptions.read('');
    this.endpoint = new UnsubscribeEndpoint(unsubscriptions, { ...this.settings, onError });
  }
}
