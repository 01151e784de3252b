import type { INestApplicationContext, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MailQueueUnavailableError } from '../errors.js';
import { getMailToken } from '../nest/inject-mail.js';
import { getMailHealthToken, type MailHealthIndicator } from '../nest/mail-health.js';
import { getMailWorkerToken, type MailWorker } from '../nest/mail-worker.js';
import { MailModule, type MailModuleRootOptions } from '../nest/mail.module.js';
import type { MailService } from '../nest/mail.service.js';
import { parseOptions, type MailSettings } from '../nest/options/parse.js';
import type { QueueConfig, TransportConfig } from '../nest/options/types.js';
import type { Context } from './context.js';
import { loadConfig } from './config/config.js';
import { EXIT, type ExitCode } from './exit-code.js';
import type { Answer } from './output.js';

/** How long an embedded store that another process holds is waited for, and how long closing may take. Milliseconds. */
const PATIENCE = 2_000;

/** What a command needs of the mailer; what it does not need is not opened. `run` is a worker that ends by itself. */
export type Purpose = 'transports' | 'queue' | 'run' | 'worker';

/** A mailer in a Nest application of its own. */
export interface Mailer {
  readonly mail: MailService;
  readonly worker: MailWorker;
  readonly health: MailHealthIndicator;
  /** May be called more than once. */
  close(): Promise<void>;
}

/**
 * Asks the configured mailer something, closes it and gives the answer, unless a signal comes first.
 *
 * @param question resolves to nothing where the answer was given already
 */
export async function withMailer(
  context: Context,
  purpose: Purpose,
  question: (mailer: Mailer) => Promise<Answer | void>,
): Promise<ExitCode> {
  const mailer = await openMailer(await loadConfig(context), purpose, context);
  try {
    const answer = await context.interruption.orDone(question(mailer));
    if (answer) context.output.print(answer);
    return answer?.exitCode ?? EXIT.ok;
  } finally {
    await mailer.close();
  }
}

/**
 * Boots the real module.
 *
 * @throws MailConfigError an option is wrong
 * @throws MailQueueUnavailableError another process holds the embedded store
 */
export async function openMailer(
  config: MailModuleRootOptions,
  purpose: Purpose,
  { output }: Pick<Context, 'output'>,
): Promise<Mailer> {
  const { name } = config;
  const settings = settingsOf(config);
  const options = optionsFor(purpose, config, settings);
  const works = purpose === 'run' || purpose === 'worker';
  const logger = works || output.verbose ? new StderrLogger((line) => output.tell(line)) : false;
  const app = await boot(options, logger).catch((error: unknown) => {
    throw error instanceof MailQueueUnavailableError && isEmbedded(settings) ? heldByAnother(error) : error;
  });
  let closing: Promise<void> | undefined;
  return {
    mail: app.get<MailService>(getMailToken(name)),
    worker: app.get<MailWorker>(getMailWorkerToken(name)),
    health: app.get<MailHealthIndicator>(getMailHealthToken(name)),
    close: () => (closing ??= app.close()),
  };
}

/** @throws MailConfigError an option is wrong */
export function settingsOf({ name, isGlobal: _, ...own }: MailModuleRootOptions): MailSettings {
  return parseOptions(own, name === undefined ? 'mail' : `mail-${name}`);
}

function boot(options: MailModuleRootOptions, logger: LoggerService | false): Promise<INestApplicationContext> {
  class MailCommandModule {}
  const module = { module: MailCommandModule, imports: [MailModule.forRoot(options)] };
  return NestFactory.createApplicationContext(module, { logger, abortOnError: false });
}

function optionsFor(
  purpose: Purpose,
  options: MailModuleRootOptions,
  { queue, shutdownTimeout }: MailSettings,
): MailModuleRootOptions {
  const cold = { ...options, transports: options.transports.map(withoutWarmConnections) };
  switch (purpose) {
    case 'worker':
      return options;
    case 'run':
      return cold;
    case 'transports':
      // The store may be away, or held by the application: nothing is asked of it.
      return { ...cold, queue: false, defaultLane: 'priority', priority: { ...options.priority, overflow: 'throw' } };
    case 'queue':
      return { ...cold, shutdownTimeout: Math.min(shutdownTimeout, PATIENCE), queue: queue && withoutWorker(options) };
  }
}

function withoutWorker({ queue }: MailModuleRootOptions): QueueConfig {
  const { worker, ...rest } = queue || {};
  return { ...rest, worker: { ...(worker || {}), autorun: false } };
}

/** A command that is over in a moment keeps no connection for later. */
function withoutWarmConnections(transport: TransportConfig): TransportConfig {
  return 'url' in transport ? { ...transport, minWarm: 0 } : transport;
}

function isEmbedded({ queue }: MailSettings): boolean {
  return queue !== false && queue.target.kind === 'embedded';
}

function heldByAnother(error: MailQueueUnavailableError): MailQueueUnavailableError {
  return new MailQueueUnavailableError(
    `${error.message} If it is the application, ask it instead (MailService has the same calls), or stop it for as long as ` +
      'the command takes.',
    { cause: error },
  );
}

/** What Nest and the module have to say, beside the answer. */
class StderrLogger implements LoggerService {
  constructor(private readonly tell: (line: string) => void) {}

  log(message: unknown, context?: string): void {
    // Nest's own say which module was initialised when.
    if (context === MailModule.name) this.tell(String(message));
  }

  warn(message: unknown): void {
    this.tell(`warning: ${String(message)}`);
  }

  error(message: unknown, ...rest: unknown[]): void {
    // What ends the boot is thrown as well.
    if (rest.at(-1) !== 'ExceptionHandler') this.tell(`error: ${String(message)}`);
  }
}
