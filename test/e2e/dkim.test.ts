import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startMail, type MailApp } from '../support/app.js';
import { dkimKey, dkimResults, type TestDkimKey } from '../support/dkim.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';

const rsa = dkimKey('mail2026');
const ed25519 = dkimKey('ed2026', 'ed25519');
const tenant = dkimKey('acme', 'ed25519', 'acme.test');

const optionsOf = ({ domainName, keySelector, pem }: TestDkimKey) => ({ domainName, keySelector, privateKey: pem });
/** Text and HTML such as relaxed canonicalisation is there for, and lines that begin with a dot. */
const content = {
  subject: 'Grüße  aus dem Laden, ' + 'sehr lang '.repeat(20),
  text: 'Hallo  {{name}},\n\n.\n..dots \n\ttabs\t\n\n\n',
  html: '<p>\n    Hallo <b>{{name}}</b>  – 안녕\n</p>\n',
  headers: { 'List-Unsubscribe': '<https://shop.test/u>', 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click' },
};

describe('mail of a transport with dkim', () => {
  let smtp: TestSmtpServer;
  let app: MailApp;

  beforeAll(async () => {
    smtp = await startSmtpServer();
    app = await startMail({
      transports: [{ name: 'main', url: smtp.url, dkim: { keys: [rsa, ed25519].map(optionsOf) } }],
      resolveTransport: () => ({ url: smtp.url, dkim: optionsOf(tenant) }),
      queue: { connection: (await startRedis()).url },
    });
  });
  beforeEach(() => smtp.clear());

  /** Once this many have come, what each of their signatures is worth. */
  async function results(count: number): Promise<string[][]> {
    await eventually(() => expect(smtp.received).toHaveLength(count));
    return Promise.all(smtp.received.map(({ raw }) => dkimResults(raw, rsa, ed25519, tenant)));
  }
  const bothPass = ['pass', 'pass'];

  it('is verified where it arrives, on both lanes', async () => {
    const attachments = [{ filename: 'bill.pdf', content: Buffer.alloc(20_000, 'bill') }];
    await app.mail.send({ ...content, to: 'ann@mail.test', attachments });
    expect(await results(1)).toEqual([bothPass]);
    await app.mail.send({ ...content, to: 'ann@mail.test', cc: 'bob@mail.test', lane: 'bulk' });
    expect(await results(2)).toEqual([bothPass, bothPass]);
  });

  it('is verified for every recipient of a campaign, whatever was merged', async () => {
    const recipients = Array.from({ length: 30 }, (_, n) => ({
      to: `reader${n}@mail.test`,
      context: { name: n % 2 ? `Ann ${n}` : '  이순신\t ' },
    }));
    await app.mail.sendBulk({ ...content, recipients });
    expect(await results(30)).toEqual(Array(30).fill(bothPass));
    await app.mail.sendBulk({ ...content, text: 'The same for all.\n', html: '<p>The same for all.</p>', recipients });
    expect(await results(60)).toEqual(Array(60).fill(bothPass));
  });

  it('has the tenant’s own signature', async () => {
    await app.mail.send({ ...content, from: 'news@acme.test', to: 'ann@mail.test', transport: 'acme' });
    expect(await results(1)).toEqual([['pass']]);
    expect(smtp.received[0]!.raw.toString()).toContain('d=acme.test;');
  });
});
