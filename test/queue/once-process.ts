/** Sends one mail: `once-process.ts '<MailModuleOptions as JSON>' '<MailMessageInput as JSON>'`. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { MailMessageInput } from '../../src/message/message.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';

const [options = '{}', message = '{}'] = process.argv.slice(2);
const imports = [MailModule.forRoot(JSON.parse(options) as MailModuleOptions)];
const app = await NestFactory.createApplicationContext({ module: class AppModule {}, imports }, { logger: ['error'] });
console.log(JSON.stringify(await app.get(MailService).send(JSON.parse(message) as MailMessageInput)));
await app.close();
