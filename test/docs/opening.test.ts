import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Logger, type INestApplicationContext, type Type } from '@nestjs/common';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { root } from '../../scripts/lib/root.mjs';
import type { AttachmentInput } from '../../src/message/message.js';
import { MailHealthIndicator } from '../../src/nest/mail-health.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { SmtpTransportConfig } from '../../src/nest/options/types.js';
import type { CampaignReceipt } from '../../src/queue/queueing.js';
import type { RunReport } from '../../src/queue/run.js';
import { boot } from '../nest/boot.js';
import { atEnd } from '../support/cleanup.js';
import { dkimKey, dkimResults } from '../support/dkim.js';
import { eventually } from '../support/eventually.js';
import { Listener } from '../support/listener.js';
import { openPage } from '../support/page.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type SmtpServerOptions, type TestSmtpServer } from '../support/smtp-server.js';
import { S3_CREDENTIALS, startS3 } from '../support/s3.js';
import { readPage } from '../support/snippets.js';
import { everythingIn } from '../support/stored.js';
import { temporaryFolder } from '../support/temp.js';

/** Those that tell how the package is made, measured or moved to. */
const NO_CAPABILITIES = [
  'architecture.md',
  'benchmarks.md',
  'chaos.md',
  'migrate-from-nestjs-mail.md',
  'migrate-from-nestjs-modules-mailer.md',
];

const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));

it.each(pages.filter((name) => !NO_CAPABILITIES.includes(name)))('docs/%s opens with code', (name) => {
  const [opening] = readPage(`docs/${name}`).split(/^## /m);
  expect(opening).toMatch(/^```ts\n\/\/ (src|test)\/\S+\.ts\n/m);
});

let smtp: TestSmtpServer;
let store: string;
let refuse: SmtpServerOptions['onRcpt'];

beforeAll(async () => {
  smtp = await startSmtpServer({ onRcpt: (...asked) => refuse?.(...asked) });
  store = (await startRedis()).url;
});
beforeEach(() => {
  smtp.clear();
  vi.stubEnv('SMTP_URL', smtp.url);
  vi.stubEnv('QUEUE_URL', store);
});
afterEach(() => {
  refuse = undefined;
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('the code that a page opens with', () => {
  it.each([
    ['docs/command.md', 'src/configured-mail.module.ts', 'ConfiguredMailModule'],
    ['docs/options.md', 'src/mail-options.module.ts', 'MailOptionsModule'],
  ])('sends on both lanes: %s', async (page, file, name) => {
    await sendOnBothLanes((await bootPage(page, file, name)).get(MailService));
    expect(smtp.received.map(({ to }) => to)).toEqual([['ann@mail.test'], ['bob@mail.test']]);
  });

  it('sends an issue of a newsletter once: docs/bulk-mail.md', async () => {
    const page = openPage('docs/bulk-mail.md');
    interface Issues {
      issue(number: number, path: string): Promise<CampaignReceipt>;
    }
    const { Newsletter } = await page.load<{ Newsletter: Type<Issues> }>('src/newsletter.ts');
    const progress = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const app = await boot({ imports: [mailModule()], providers: [Newsletter] });
    const subscribers = [
      { email: 'ann@mail.test', name: 'Ann', town: 'leeds' },
      { email: 'bob@mail.test', name: 'Bob', town: 'york' },
    ];
    const list = join(page.folder, 'subscribers.jsonl');
    writeFileSync(list, subscribers.map((one) => JSON.stringify(one) + '\n').join(''));

    const { id } = await app.get(Newsletter).issue(7, list);
    expect(await app.get(Newsletter).issue(7, list)).toMatchObject({ id: 'issue-7', queued: 0, duplicates: 2 });
    await completed(app.get(MailService), id, { sent: 2, name: 'Newsletter 7' });
    expect(progress).toHaveBeenCalledWith('2 are queued');
    const mails = await Promise.all(smtp.received.map(async ({ raw }) => parse(raw)));
    expect(mails.map(({ subject, text }) => `${subject}: ${text?.trim()}`).sort()).toEqual([
      'News from Shop Leeds for Ann: Hello Ann,\n\nwe are open until six.',
      'News from Shop York for Bob: Hello Bob,\n\nwe are open until eight.',
    ]);
  });

  it('delivers what is due, and ends: docs/cron-and-serverless.md', async () => {
    const page = openPage('docs/cron-and-serverless.md');
    const { MailCronModule } = await page.load<{ MailCronModule: Type }>('src/mail-cron.module.ts');
    const app = await boot({ imports: [MailCronModule] });
    await app.get(MailService).send({ lane: 'bulk', to: 'ann@mail.test', subject: 'x', text: 'x' });
    expect(smtp.received).toEqual([]);
    const { deliverForAMinute } = await page.load<{ deliverForAMinute: () => Promise<RunReport> }>('src/mail-cron.ts');
    expect(await deliverForAMinute()).toEqual({ reason: 'empty', batches: 1, sent: 1, failed: 0, deferred: 0 });
    expect(smtp.received).toHaveLength(1);
  });

  it('signs what it sends: docs/dkim.md', async () => {
    const key = dkimKey('mail2026', 'rsa', 'shop.example');
    vi.stubEnv('DKIM_KEY', key.pem);
    const app = await bootPage('docs/dkim.md', 'src/signed-mail.module.ts', 'SignedMailModule');
    await app.get(MailService).send({ to: 'ann@mail.test', subject: 'x', text: 'x' });
    expect(await dkimResults(smtp.received[0]!.raw, key)).toEqual(['pass']);
  });

  it.each(['a folder', 'S3'])('sends an invoice whose file lies in %s: docs/attachments.md', async (place) => {
    const { bucket, prefix, region, endpoint } = await startS3();
    const query = new URLSearchParams({ region: region!, endpoint: endpoint!, forcePathStyle: 'true' });
    const folder = temporaryFolder('attachments');
    vi.stubEnv('AWS_ACCESS_KEY_ID', S3_CREDENTIALS.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', S3_CREDENTIALS.secretAccessKey);
    vi.stubEnv(
      'ATTACHMENT_STORE',
      place === 'S3' ? `s3://${bucket}/${prefix}?${query.toString()}` : `file://${folder}`,
    );
    vi.stubEnv('QUEUE_URL', (await startRedis()).url);
    const page = openPage('docs/attachments.md');
    const { InvoiceMailModule } = await page.load<{ InvoiceMailModule: Type }>('src/invoice-mail.module.ts');
    const { Invoices } = await page.load<{
      Invoices: Type<{ send(to: string, number: string, pdf: Buffer): Promise<string> }>;
    }>('src/invoices.ts');
    const pdf = randomBytes(100_000);
    const app = await boot({ imports: [InvoiceMailModule], providers: [Invoices] });
    await app.get(Invoices).send('ann@mail.test', '2026-11', pdf);
    await eventually(() => expect(smtp.received).toHaveLength(1));
    const [file] = (await parse(smtp.received[0]!.raw)).attachments;
    expect([file!.filename, file!.content.equals(pdf)]).toEqual(['2026-11.pdf', true]);
    expect(readdirSync(folder).length).toBe(place === 'S3' ? 0 : 3);
  });

  it('sends what can be attached: docs/attachments.md', async () => {
    const allowedDir = temporaryFolder('allowed');
    writeFileSync(join(allowedDir, 'terms.pdf'), 'terms');
    const { attached } = await openPage('docs/attachments.md').load<{
      attached: (logo: Buffer, report: Readable) => AttachmentInput[];
    }>('src/attached.ts');
    const transports = [{ name: 'main', url: smtp.url }];
    const app = await boot({
      imports: [MailModule.forRoot({ from: 'a@shop.test', transports, queue: false, attachments: { allowedDir } })],
    });
    const attachments = attached(Buffer.from('logo'), Readable.from(['a;b']));
    await app.get(MailService).send({ to: 'ann@mail.test', subject: 'x', html: '<img src="cid:logo">', attachments });
    const files = (await parse(smtp.received[0]!.raw)).attachments;
    expect(files.map(({ filename }) => filename)).toEqual(
      expect.arrayContaining(['logo.png', 'report.csv', 'terms.pdf', 'notes.txt', 'stamp.gif']),
    );
  });

  it('leaves nothing in the store that can be read: docs/encryption.md', async () => {
    vi.stubEnv('MAIL_ENCRYPTION_KEY', randomBytes(32).toString('base64'));
    const app = await bootPage('docs/encryption.md', 'src/encrypted-mail.module.ts', 'EncryptedMailModule');
    const content = { to: 'secret-reader@mail.test', subject: 'x', text: 'secret-letter' };
    const { id } = await app.get(MailService).send({ ...content, lane: 'bulk' });
    await eventually(() => expect(smtp.received[0]?.raw.toString()).toContain('secret-letter'));
    const stored = await everythingIn(store);
    expect(stored).toContain(id.split('.')[0]);
    expect(stored).not.toMatch(/secret-/);
  });

  it('tells the kinds apart: docs/failures.md', async () => {
    const { SignUp } = await openPage('docs/failures.md').load<{
      SignUp: Type<{ confirm(email: string, link: string): Promise<string> }>;
    }>('src/sign-up.ts');
    const warned = vi.spyOn(Logger.prototype, 'warn');
    const failed = vi.spyOn(Logger.prototype, 'error');
    const app = await boot({ imports: [mailModule()], providers: [SignUp] });
    const replies = new Map([
      ['gone@mail.test', { code: 550, text: '5.1.1 No such user' }],
      ['full@mail.test', { code: 452, text: '4.2.2 Mailbox full' }],
      ['grey@mail.test', { code: 450, text: '4.2.0 Please come back later' }],
      ['many@mail.test', { code: 451, text: '4.7.1 Too many messages' }],
    ]);
    refuse = (address) => replies.get(address);
    const answers: string[] = [];
    for (const to of ['ann@mail.test', ...replies.keys()]) {
      answers.push(await app.get(SignUp).confirm(to, 'https://shop.example/confirm'));
    }
    expect(answers).toEqual([
      'The link is on its way.',
      'The mail server does not know this address.',
      'This mailbox takes no mail at the moment.',
      'The mail server wants to be asked again in some minutes.',
      'The mail server is busy. Please try again in a minute.',
    ]);
    expect(warned.mock.calls.flat()).toContain('main at rcpt: 452 4.2.2 Mailbox full');
    await app.get(MailService).send({ lane: 'bulk', to: 'gone@mail.test', subject: 'x', text: 'x' });
    await eventually(() => {
      const told = failed.mock.calls.flat();
      expect(told).toContain('priority mail to gone@mail.test: 550 5.1.1 No such user');
      expect(told).toContain('bulk mail to gone@mail.test: 550 5.1.1 No such user');
    });
  });

  it('lets a suspended campaign go on: docs/interruptions.md', async () => {
    const { goOn } = await openPage('docs/interruptions.md').load<{
      goOn: (mail: MailService, id: string) => Promise<string[]>;
    }>('src/resume-campaign.ts');
    const stopped = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    await smtp.stop();
    const mail = (await boot({ imports: [mailModule({ waitForCapacity: 1 })] })).get(MailService);
    const recipients = [{ to: 'ann@mail.test' }, { to: 'bob@mail.test' }];
    const { id } = await mail.sendBulk({ subject: 'x', text: 'x', recipients });
    await eventually(async () => expect(await mail.campaign(id)).toMatchObject({ state: 'suspended' }));
    await smtp.resume();
    expect((await goOn(mail, id)).sort()).toEqual(['ann@mail.test', 'bob@mail.test']);
    expect(stopped.mock.calls.flat()).toEqual([expect.stringMatching(/ with 2 to serve: .*ECONNREFUSED/)]);
    await completed(mail, id, { sent: 2 });
  });

  it('shares bulk mail, and goes elsewhere: docs/overload.md', async () => {
    let full = false;
    const large = await startSmtpServer({
      onMail: () => (full ? { code: 451, text: '4.7.1 Too many messages' } : undefined),
    });
    vi.stubEnv('SMTP_LARGE', large.url);
    vi.stubEnv('SMTP_SMALL', smtp.url);
    const app = await bootPage('docs/overload.md', 'src/shared-load.module.ts', 'SharedLoadModule');
    const mail = app.get(MailService);
    const recipients = Array.from({ length: 8 }, (_, n) => ({ to: `reader${n}@mail.test` }));
    for (const expected of [
      [6, 2],
      [6, 10],
    ]) {
      const { id } = await mail.sendBulk({ subject: 'x', text: 'x', recipients });
      await completed(mail, id, { sent: 8 });
      expect([large, smtp].map(({ received }) => received.length)).toEqual(expected);
      full = true;
    }
  });

  it('keeps bulk mail from a server that is overloaded: docs/probes.md', async () => {
    const own = await startSmtpServer();
    let asked: string | undefined;
    const agent = await Listener.open(
      createServer((request, response) => {
        asked = request.headers.authorization;
        response.end(JSON.stringify({ load: 0.5, queue: 30_000 }));
      }),
    );
    atEnd(() => agent.pause());
    vi.stubEnv('SMTP_PROVIDER', smtp.url);
    vi.stubEnv('SMTP_OWN', own.url);
    vi.stubEnv('MAIL_STATUS_URL', `http://127.0.0.1:${agent.port}/status`);
    vi.stubEnv('MAIL_STATUS_TOKEN', 'a-token-of-the-test');
    const page = openPage('docs/probes.md');
    const { transports } = await page.load<{ transports: SmtpTransportConfig[] }>('src/mail-servers.ts');
    const module = MailModule.forRoot({ from: 'shop@shop.test', transports, queue: { connection: store } });
    const app = await boot({ imports: [module] });
    const { mail } = await app.get(MailHealthIndicator).isHealthy();
    expect(mail.transports.map(({ load }) => load?.state)).toEqual(['ready', 'overloaded']);
    expect(asked).toBe('Bearer a-token-of-the-test');
    await sendOnBothLanes(app.get(MailService));
    expect([smtp.received.length, own.received.length]).toEqual([2, 0]);
  });
});

/** The application of a page. */
async function bootPage(page: string, file: string, name: string): Promise<INestApplicationContext> {
  const modules = await openPage(page).load<Record<string, Type>>(file);
  return boot({ imports: [modules[name]!] });
}

/** For pages that show a class and leave the module to the reader. */
function mailModule(queue: object = {}) {
  const transports = [{ name: 'main', url: smtp.url }];
  return MailModule.forRoot({ from: 'shop@shop.test', transports, queue: { connection: store, ...queue } });
}

/** To Ann with priority, then to Bob by the queue; resolves when both have arrived. */
async function sendOnBothLanes(mail: MailService): Promise<void> {
  expect(await mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' })).toMatchObject({ status: 'sent' });
  const { id } = await mail.send({ lane: 'bulk', to: 'bob@mail.test', subject: 'x', text: 'x' });
  await eventually(async () => expect(await mail.status(id)).toMatchObject({ recipients: [{ state: 'sent' }] }));
}

function completed(mail: MailService, id: string, report: object): Promise<void> {
  return eventually(async () => expect(await mail.campaign(id)).toMatchObject({ state: 'completed', ...report }));
}
