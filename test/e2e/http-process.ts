/** A web server whose request sends mail after a while: `http-process.ts '<MailModuleOptions as JSON>'`. */
import 'reflect-metadata';
import { Controller, Get, Inject } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';

@Controller()
class SlowController {
  constructor(@Inject(MailService) private readonly mail: MailService) {}

  @Get('slow')
  async slow(): Promise<string[]> {
    console.log('request');
    await sleep(1_000);
    const priority = await this.mail.send({ to: 'late@readers.test', subject: 'x', text: 'x' });
    const bulk = await this.mail.send({ lane: 'bulk', to: 'queued@readers.test', subject: 'x', text: 'x' });
    return [priority.status, bulk.status];
  }
}

class AppModule {}

const options = JSON.parse(process.argv[2]!) as MailModuleOptions;
const app = await NestFactory.create(
  { module: AppModule, imports: [MailModule.forRoot(options)], controllers: [SlowController] },
  { logger: ['error'] },
);
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
console.log(`listening ${await app.getUrl()}`);
