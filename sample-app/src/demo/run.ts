import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MailService } from 'nestjs-priority-mail';
import { AppModule } from '../app.module.js';
import { setUp } from '../app.setup.js';
import { Settings } from '../settings/settings.js';
import { Client } from './client.js';
import { Inbox } from './inbox.js';
import { leave } from './leaving.js';
import { freePort } from './ports.js';
import { report } from './report.js';
import { play } from './scenario.js';
import { heading, line, step } from './terminal.js';
import type { Undo } from './undo.js';

const { env } = process;

/**
 * Starts the inbox and the site, plays the scenario and prints what happened.
 *
 * @returns whether all the mail arrived
 */
export async function run(once: boolean, undo: Undo): Promise<boolean> {
  heading('A community site with two lanes of mail');
  const inbox = env['SMTP_URL'] ? undefined : await step('Inbox', () => startInbox(undo));
  if (once && !env['QUEUE_URL']) await useTemporaryQueue(undo);
  const app = await step('Site', () => startSite(undo));
  await step(queueLabel(), () => openQueue(app));
  const site = await app.getUrl();
  const { worker, smtpUrl } = app.get(Settings);
  if (!worker) line(`Start a worker in another terminal: QUEUE_URL=… SMTP_URL=${smtpUrl} npm run demo:worker`);

  const client = new Client(site);
  const outcome = await play(client, worker ? 60_000 : 600_000);
  const readers = (await inbox?.count(outcome.receipt.id))?.readers;
  const leaving = readers && (await step('Three readers leave; another post', () => leave(client, readers)));
  const arrived = await report(outcome, inbox, leaving);
  if (once) return arrived;
  line(`Site    ${site}`);
  if (inbox) line(`Inbox   ${inbox.webUrl}`);
  line(`Queue   ${site}/queues`);
  line();
  line('Ctrl-C ends it.');
  return arrived;
}

/** @throws when another demo is there already: two of them would be after the same embedded queue */
export async function refuseSecond(): Promise<void> {
  const site = `http://127.0.0.1:${env['PORT'] ?? 3000}`;
  try {
    const response = await fetch(`${site}/site`, { signal: AbortSignal.timeout(1_000) });
    const answer = (await response.json()) as { name?: string };
    if (answer.name !== 'Community') return;
  } catch {
    return;
  }
  throw new Error(
    `The demo is running already, at ${site}. End it with Ctrl-C first; \`npm run demo -- --once\` runs beside it.`,
  );
}

async function startInbox(undo: Undo): Promise<Inbox> {
  const inbox = await Inbox.start();
  undo.add(() => inbox.stop());
  env['SMTP_URL'] = inbox.smtpUrl;
  env['INBOX_URL'] = inbox.webUrl;
  return inbox;
}

async function useTemporaryQueue(undo: Undo): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'demo-queue-'));
  undo.add(() => rm(folder, { recursive: true, force: true }));
  env['QUEUE_URL'] = `pglite://${join(folder, 'queue')}`;
}

async function startSite(undo: Undo): Promise<NestExpressApplication> {
  env['PORT'] ??= String(await freePort(3000));
  const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: false, abortOnError: false });
  undo.add(() => app.close());
  await setUp(app).listen(env['PORT'], '127.0.0.1');
  app.useLogger(['error', 'warn']);
  return app;
}

function queueLabel(): string {
  const [scheme, folder] = new Settings().queueUrl.split('://');
  return scheme === 'pglite' && folder && !existsSync(folder) ? 'Queue (creating it takes some 5 s)' : 'Queue';
}

/** The first campaign creates an embedded queue. One without recipients does so before anybody waits for it. */
async function openQueue(app: NestExpressApplication): Promise<void> {
  await app.get(MailService).sendBulk({ name: 'Start', subject: '-', text: '-', recipients: [] });
}
