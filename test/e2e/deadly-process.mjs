/** A worker that dies of one message: `deadly-process.mjs '<MailModuleOptions as JSON>' [campaign id, recipients]`. */
import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import { MailModule, MailService } from 'nestjs-priority-mail';

class AppModule {}

// By name, since types are checked also where nothing has been built yet.
const built = new URL('../../dist/mime/press.js', import.meta.url).href;
/** @type {typeof import('../../src/mime/press.js')} */
const { Press } = await import(built);
const { encode } = Press.prototype;
/** @param {Parameters<typeof encode>} args */
Press.prototype.encode = function (...args) {
  // As an encoder does that runs out of memory.
  if (args[0].to[0]?.address.startsWith('deadly')) process.kill(process.pid, 'SIGKILL');
  return encode.apply(this, args);
};

const [options = '', id, count] = process.argv.slice(2);
const module = MailModule.forRoot(JSON.parse(options));
const app = await NestFactory.createApplicationContext({ module: AppModule, imports: [module] }, { logger: ['error'] });
app.enableShutdownHooks();
const mail = app.get(MailService);
if (id !== undefined) {
  const recipients = Array.from({ length: Number(count) }, (_, n) => ({
    to: `${n === Math.floor(Number(count) / 2) ? 'deadly' : 'reader'}${n}@readers.test`,
  }));
  await mail.sendBulk({ id, subject: 'A post', text: 'x', recipients });
}
let report;
for (; report?.state !== 'completed'; await sleep(100)) report = await mail.campaign('deadly');
for await (const { reply } of mail.failures('deadly')) console.log(`failed: ${reply}`);
console.log(`completed ${report.sent} ${report.failed}`);
