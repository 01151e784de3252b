import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MailingModule } from './mailing/mailing.module.js';
import { Settings } from './settings/settings.js';

// Delivers what the site has queued, in a process of its own; start as many as you like.
const settings = new Settings();
const logger = new Logger('Worker');
if (!settings.queueIsShared || !settings.worker) {
  logger.fatal(
    'A worker needs a queue that processes share, and work: set QUEUE_URL to redis://… or postgres://…, and WORKER not to off.',
  );
  process.exit(1);
}

const app = await NestFactory.createApplicationContext(MailingModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks();
// Boot is quiet; what the worker itself has to say is not.
Logger.overrideLogger(['error', 'warn', 'log']);
logger.log(
  `Delivers from ${new URL(settings.queueUrl).host} by way of ${new URL(settings.smtpUrl).host}. Ctrl-C ends it.`,
);
