/**
 * A process with the built module that delivers, queues a campaign until it is all there, or both:
 * `mail-process.mjs '<MailModuleOptions as JSON>' [campaign id, recipients]`. A line `report` or `probe` asks it something.
 * In JavaScript because it is started often, and the compiler would take most of that time.
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MailError, MailModule, MailService } from 'nestjs-priority-mail';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { recipientOf } from './recipients.mjs';

class AppModule {}

const TELL_EVERY = 250;
const [options = '', id = '', count] = process.argv.slice(2);

const module = MailModule.forRoot(JSON.parse(options));
const app = await NestFactory.createApplicationContext({ module: AppModule, imports: [module] }, { logger: ['error'] });
app.enableShutdownHooks();
const mail = app.get(MailService);
console.log('booted');
createInterface({ input: process.stdin }).on('line', (line) => void (line === 'probe' ? probe() : report()));
if (id !== '') await queue();

/** As an application does it: again with the same id until it is told that all are queued. */
async function queue() {
  const message = { id, subject: 'A new post', text: 'Hello {{name}},\n\nthere is a new post.' };
  for (;;) {
    try {
      const { queued, duplicates } = await mail.sendBulk({ ...message, recipients: recipients(Number(count)) });
      console.log(`queued ${queued} and before ${duplicates}`);
      return;
    } catch (error) {
      if (!(error instanceof MailError) || error.permanent) throw error;
      console.log(`not queued: ${error.name} ${error.code ?? ''} ${error.message}`);
      await sleep(500);
    }
  }
}

/** @param {number} total */
function* recipients(total) {
  for (let n = 0; n < total; n++) {
    yield { to: recipientOf(n), context: { name: `Reader ${n}` } };
    if ((n + 1) % TELL_EVERY === 0) console.log(`read ${n + 1}`);
  }
}

async function report() {
  const failures = [];
  try {
    const campaign = await mail.campaign(id);
    if (campaign?.state === 'completed') {
      for await (const { recipients: to, reply = '' } of mail.failures(id)) {
        failures.push({ recipient: to[0]?.address, reply });
      }
    }
    console.log(`report ${JSON.stringify({ campaign, failures })}`);
  } catch (error) {
    console.log(`report ${JSON.stringify({ failures, error: String(error) })}`);
  }
}

/** What a producer is told right now. */
async function probe() {
  const started = performance.now();
  /** @type {Error | undefined} */
  let error;
  try {
    await mail.send({ lane: 'bulk', to: 'probe@readers.test', subject: 'x', text: 'x' });
  } catch (reason) {
    error = /** @type {Error} */ (reason);
  }
  const milliseconds = Math.round(performance.now() - started);
  console.log(`probe ${JSON.stringify({ milliseconds, error: error?.name, message: error?.message })}`);
}
