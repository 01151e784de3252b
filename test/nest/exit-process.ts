/** Boots, sends what it is told to, closes: `exit-process.ts '<MailModuleOptions as JSON>' [priority|bulk|stay …]`. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { eventually } from '../support/eventually.js';

const [options = '{}', ...steps] = process.argv.slice(2);
const imports = [MailModule.forRoot(JSON.parse(options) as MailModuleOptions)];
const app = await NestFactory.createApplicationContext({ module: class AppModule {}, imports }, { logger: ['error'] });
const mail = app.get(MailService);

if (steps.includes('priority')) await mail.send({ to: 'ann@mail.test', subject: 'Now', text: 'x' });
if (steps.includes('bulk')) {
  const recipients = Array.from({ length: 20 }, (_, index) => ({ to: `u${index}@mail.test` }));
  const { id } = await mail.sendBulk({ subject: 'Later', text: 'x', recipients });
  await eventually(async () => (await mail.campaign(id))?.state === 'completed');
}
process.stdout.write('sent\n');
if (!steps.includes('stay')) {
  await app.close();
  process.stdout.write('closed\n');
}
