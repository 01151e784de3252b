/**
 * A process with the built mail module: `mail-process.mjs '<MailModuleOptions as JSON>' [campaign id, recipients]`. In JavaScript
 * because it is started often, and the compiler would take most of that time.
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MailModule, MailService } from 'nestjs-priority-mail';

class AppModule {}

const [options = '', id, count] = process.argv.slice(2);
const module = MailModule.forRoot(JSON.parse(options));
const app = await NestFactory.createApplicationContext({ module: AppModule, imports: [module] }, { logger: ['error'] });
app.enableShutdownHooks();
console.log('booted');
if (id !== undefined) {
  const recipients = Array.from({ length: Number(count) }, (_, n) => ({ to: `reader${n}@readers.test` }));
  const { queued } = await app.get(MailService).sendBulk({ id, subject: 'A post', text: 'x', recipients });
  console.log(`queued ${queued}`);
}
