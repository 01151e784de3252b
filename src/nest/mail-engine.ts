import {
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mailer } from './mailer.js';
import { rehearse } from './rehearsal.js';

/** For closing the store, also when the worker has used up all of `shutdownTimeout`. Milliseconds. */
const CLOSE_AT_LEAST = 1_000;

/** A mailer's life inside the application's. */
export class MailEngine
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  private stopBy = 0;

  constructor(readonly mailer: Mailer) {}

  /** All providers are made, and nothing is sent yet. */
  onModuleInit(): void {
    const { renderer, metrics } = this.mailer;
    renderer.mailables.discover();
    metrics?.start();
  }

  async onApplicationBootstrap(): Promise<void> {
    const { routes, queue, settings } = this.mailer;
    await Promise.all([routes.start(), queue?.start(), rehearse(settings.rules)]);
  }

  /** Before the HTTP server drains: requests under way may still send and queue mail. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopBy = Date.now() + this.mailer.settings.shutdownTimeout;
    await this.mailer.queue?.stopWorker(this.mailer.settings.shutdownTimeout);
  }

  /** After the HTTP server has drained. */
  async onApplicationShutdown(): Promise<void> {
    const { routes, once, queue, metrics } = this.mailer;
    await routes.close(Math.max(0, this.stopBy - Date.now()));
    const within = Math.max(CLOSE_AT_LEAST, this.stopBy - Date.now());
    await Promise.race([once.settled(), sleep(within, undefined, { ref: false })]);
    await queue?.close(within);
    metrics?.close();
  }
}
