import 'reflect-metadata';
import type { DynamicModule, INestApplicationContext, ModuleMetadata, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { onTestFinished } from 'vitest';
import { Mailbox } from '../../src/testing/mailbox.js';

/** An application of these modules and providers, closed when the test ends. */
export async function boot(metadata: ModuleMetadata): Promise<INestApplicationContext> {
  const module: DynamicModule = { module: class AppModule {}, ...metadata };
  const app = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
  onTestFinished(() => app.close());
  return app;
}

/** A module of its own around these providers. */
export function moduleOf(metadata: ModuleMetadata): DynamicModule {
  return { module: class {} as Type, ...metadata };
}

/** Options that send into a mailbox, and queue nothing unless they are told to. */
export function into(mailbox: Mailbox = new Mailbox()) {
  return { from: 'Shop <no-reply@shop.test>', transports: [mailbox], queue: false as const };
}
