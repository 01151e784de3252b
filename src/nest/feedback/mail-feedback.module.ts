import { ConfigurableModuleBuilder, Inject, Logger, Module, type OnModuleInit } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModuleRef } from '@nestjs/core';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MailConfigError, reasonOf } from '../../errors.js';
import { findMailService } from '../find-mail-service.js';
import { FeedbackEndpoint, MAILS } from './endpoint.js';
import { parseFeedbackModule, type FeedbackModuleSettings, type MailFeedbackOptions } from './options.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<MailFeedbackOptions>({ moduleName: 'MailFeedback' })
    .setClassMethodName('forRoot')
    .build();

/** The options of `MailFeedbackModule.forRootAsync()`. */
export type MailFeedbackAsyncOptions = typeof ASYNC_OPTIONS_TYPE;

/**
 * Takes providers' reports of bounces, complaints and so on: `POST /mail-feedback/<source>`, and with `mails` what came back as a
 * mail: `POST /mail-feedback/dsn`.
 *
 * ```ts
 * imports: [
 *   MailModule.forRoot({ feedback: true, … }),
 *   MailFeedbackModule.forRoot({ sources: [new SnsSource({ topics: ['arn:aws:sns:eu-west-1:123456789012:mail'] })] }),
 * ]
 * ```
 *
 * It stands before whatever else the application does with a request: signatures are of the bytes, which parsers of bodies do not
 * keep. Guards, pipes and interceptors do not come before it either. It works on Express and Fastify.
 */
@Module({})
export class MailFeedbackModule extends ConfigurableModuleClass implements OnModuleInit {
  private readonly settings: FeedbackModuleSettings;
  private endpoint: FeedbackEndpoint | undefined;

  /** @throws MailConfigError an option is wrong, nothing says whom to believe, or another one takes the same */
  constructor(
    @Inject(MODULE_OPTIONS_TOKEN) options: MailFeedbackOptions,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
    @Inject(HttpAdapterHost) host: HttpAdapterHost,
    @Inject(ApplicationConfig) private readonly config: ApplicationConfig,
  ) {
    super();
    this.settings = parseFeedbackModule(options);
    claim(host, this.settings);
    // Now, since Nest registers its parsers when the application is initialised. A process that serves no HTTP has no adapter.
    host.init$.subscribe(() => {
      (host.httpAdapter as HttpAdapterHost['httpAdapter'] | undefined)?.use(this.take);
    });
  }

  /** @throws MailConfigError there is no such mailer, or it has `queue: false` */
  onModuleInit(): void {
    const { sources, mailTokens, maxBytes } = this.settings;
    const logger = new Logger(MailFeedbackModule.name);
    const { feedback } = findMailService(this.moduleRef, this.settings.mailer, MailFeedbackModule.name);
    feedback.check();
    if (sources.size > 0 && feedback.findsByProviderId === undefined) {
      logger.warn(
        'Webhooks are taken, and MailModule is not told `feedback`: a report that names its mail by the id of the provider alone fits none. Set feedback: true in all processes that send, or feedback: false to do without.',
      );
    }
    this.endpoint = new FeedbackEndpoint(feedback, {
      sources,
      mailTokens,
      maxBytes,
      onWarning: (warning) => logger.warn(warning),
      onError: (error) => logger.error(`A report could not be taken: ${reasonOf(error)}`),
    });
  }

  private readonly take = (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const source = this.sourceOf(request.url ?? '');
    if (source === undefined || !this.endpoint) next();
    else void this.endpoint.handle(source, request, response);
  };

  private sourceOf(url: string): string | undefined {
    const [path = ''] = url.split('?', 1);
    const prefix = this.config.getGlobalPrefix().replace(/^\/*|\/*$/g, '');
    const start = `${prefix === '' ? '' : `/${prefix}`}/${this.settings.path}/`;
    const source = path.startsWith(start) ? path.slice(start.length).replace(/\/$/, '') : undefined;
    return source !== undefined && namesOf(this.settings).includes(source) ? source : undefined;
  }
}

/** The paths that are taken in each application. */
const claimed = new WeakMap<HttpAdapterHost, Set<string>>();

function claim(host: HttpAdapterHost, settings: FeedbackModuleSettings): void {
  const taken = claimed.get(host) ?? new Set();
  claimed.set(host, taken);
  for (const name of namesOf(settings)) {
    const path = `/${settings.path}/${name}`;
    if (taken.has(path)) {
      throw new MailConfigError(`Two MailFeedbackModules take ${path}. Give one of them another \`path\`.`);
    }
    taken.add(path);
  }
}

function namesOf({ sources, mailTokens }: FeedbackModuleSettings): string[] {
  return [...sources.keys(), ...(mailTokens.length > 0 ? [MAILS] : [])];
}
