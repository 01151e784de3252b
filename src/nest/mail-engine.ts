import {
  type Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { MailQueue } from '../queue/mail-queue.js';
import { Routes } from '../transport/route.js';
import type { MailSettings } from './options/parse.js';

/** For closing the store, also when the worker has used up all of `shutdownTimeout`. Milliseconds. */
const CLOSE_AT_LEAST = 1_000;
/** The same trouble is logged once in this long. */
const LOG_EVERY = 10_000;

/** One mailer's parts and their life inside the application's. */
export class MailEngine implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private stopBy = 0;

  private constructor(
    readonly settings: MailSettings,
    readonly routes: Routes,
    readonly queue: MailQueue | undefined,
  ) {}

  static async create(settings: MailSettings, logger: Logger): Promise<MailEngine> {
    const routes = new Routes(settings.transports, settings.region);
    const queue = settings.queue
      ? await MailQueue.create(
          settings.queue,
          routes,
          seldom((message) => logger.error(message)),
        )
      : undefined;
    if (settings.queue && settings.queue.target.kind === 'embedded' && process.env['NODE_ENV'] === 'production') {
      logger.warn(
        'The mail queue is embedded in this process. That serves one machine; for several, set queue.connection to Redis or PostgreSQL.',
      );
    }
    return new MailEngine(settings, routes, queue);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.queue?.start();
  }

  /** Before the HTTP server drains: requests under way may still send and queue mail. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopBy = Date.now() + this.settings.shutdownTimeout;
    await this.queue?.stopWorker(this.settings.shutdownTimeout);
  }

  /** After the HTTP server has drained. */
  async onApplicationShutdown(): Promise<void> {
    await this.routes.close(Math.max(0, this.stopBy - Date.now()));
    await this.queue?.close(Math.max(CLOSE_AT_LEAST, this.stopBy - Date.now()));
  }
}

/** Passes on a message unless the same was passed on a moment ago: a store that is away fails many times a second. */
function seldom(log: (message: string) => void): (error: Error) => void {
  const last = new Map<string, number>();
  return (error) => {
    const message = error.message || String((error as { code?: string }).code ?? error.name);
    const now = Date.now();
    if (now - (last.get(message) ?? 0) < LOG_EVERY) return;
    if (last.size > 100) last.clear();
    last.set(message, now);
    log(message);
  };
}
