/**
 * A web server whose request sends mail when a line comes in, and which says when it begins to shut down:
 * `http-process.ts '<MailModuleOptions as JSON>'`.
 */
import 'reflect-metadata';
import { Controller, Get, Inject, type BeforeApplicationShutdown } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { once } from 'node:events';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';

@Controller()
class SlowController {
  constructor(@Inject(MailService) private readonly mail: MailService) {}

  @Get('slow')
  async slow(): Promise<string[]> {
    console.log('request');
    await once(process.stdin, 'data');
    const priority = await this.mail.send({ to: 'late@readers.test', subject: 'x', text: 'x' });
    const bulk = await this.mail.send({ lane: 'bulk', to: 'queued@readers.test', subject: 'x', text: 'x' });
    return [priority.status, bulk.status];
  }
}

class AppModule implements BeforeApplicationShutdown {
  beforeApplicationShutdown(): void {
    console.log('stopping');
  }
}

const options = JSON.parse(process.argv[2]!) as MailModuleOptions;
const app = await NestFactory.create(
  { module: AppModule, imports: [MailModule.forRoot(options)], controllers: [SlowController] },
  { logger: ['error'] },
);
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
console.log(`listening ${await app.getUrl()}`);
