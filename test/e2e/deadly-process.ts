/** A worker that dies of one message: `deadly-process.ts '<MailModuleOptions as JSON>' [campaign id, recipients]`. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { Press } from '../../src/mime/press.js';

class AppModule {}

async function main([options, id, count]: string[]): Promise<void> {
  const encode: unknown = Reflect.get(Press.prototype, 'encode');
  Press.prototype.encode = function (...args) {
    // As an encoder does that runs out of memory.
    if (args[0].to[0]!.address.startsWith('deadly')) process.kill(process.pid, 'SIGKILL');
    return Reflect.apply(encode as Press['encode'], this, args);
  };
  const module = MailModule.forRoot(JSON.parse(options!) as MailModuleOptions);
  const app = await NestFactory.createApplicationContext(
    { module: AppModule, imports: [module] },
    { logger: ['error'] },
  );
  app.enableShutdownHooks();
  console.log('booted');
  const mail = app.get(MailService);
  if (id !== undefined) {
    const recipients = Array.from({ length: Number(count) }, (_, n) => ({
      to: `${n === Math.floor(Number(count) / 2) ? 'deadly' : 'reader'}${n}@readers.test`,
    }));
    await mail.sendBulk({ id, subject: 'A post', text: 'x', recipients });
  }
  for (;;) {
    const report = await mail.campaign('deadly');
    if (report?.state === 'completed') {
      for await (const { reply } of mail.failures('deadly')) console.log(`failed: ${reply}`);
      console.log(`completed ${report.sent} ${report.failed}`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await main(process.argv.slice(2));
