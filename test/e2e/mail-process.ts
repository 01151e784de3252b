/** A process with the mail module: `mail-process.ts '<MailModuleOptions as JSON>' [campaign id, recipients]`. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';

class AppModule {}

async function main([options, id, count]: string[]): Promise<void> {
  const module = MailModule.forRoot(JSON.parse(options!) as MailModuleOptions);
  const app = await NestFactory.createApplicationContext(
    { module: AppModule, imports: [module] },
    { logger: ['error'] },
  );
  app.enableShutdownHooks();
  console.log('booted');
  if (id !== undefined) {
    const recipients = Array.from({ length: Number(count) }, (_, n) => ({ to: `reader${n}@readers.test` }));
    const { queued } = await app.get(MailService).sendBulk({ id, subject: 'A post', text: 'x', recipients });
    console.log(`queued ${queued}`);
  }
}

await main(process.argv.slice(2));
