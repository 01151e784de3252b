import { beforeAll, beforeEach, expect, it } from 'vitest';
import type { BulkMailInput } from '../../src/message/message.js';
import type { MailEngine } from '../../src/nest/mail-engine.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';

let smtp: TestSmtpServer;
let app: MailApp;

beforeAll(async () => {
  smtp = await startSmtpServer();
  app = await startMail({ smtp: smtp.url, queue: { connection: (await startRedis()).url } });
});
beforeEach(() => smtp.clear());

async function post(bulk: BulkMailInput, settled: object): Promise<string> {
  const { id } = await app.mail.sendBulk(bulk);
  await eventually(async () => expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed', ...settled }));
  return id;
}

async function failures(id: string): Promise<[string, string | undefined][]> {
  const found: [string, string | undefined][] = [];
  for await (const { id: message, recipients, reply, state } of app.mail.failures(id)) {
    expect(await app.mail.status(message)).toMatchObject({ state, reply });
    found.push([recipients[0]!.address, reply]);
  }
  return found;
}

const arrived = (): string[] => smtp.received.flatMap(({ to }) => to).sort();

it('a recipient without a value fails alone, and its status names the field and whom it failed', async () => {
  const id = await post(
    {
      subject: 'Hi {{name}}',
      text: 'Your code: {{order.code}}',
      recipients: [
        { to: 'ann@readers.test', context: { name: 'Ann', order: { code: 7 } } },
        { to: 'bob@readers.test', context: { name: 'Bob' } },
        { to: 'Cat <cat@readers.test>', context: { order: { code: 8 } } },
        { to: 'dan@readers.test', context: { name: 'Dan', order: { code: [] } } },
      ],
    },
    { sent: 1, failed: 3 },
  );
  expect(arrived()).toEqual(['ann@readers.test']);
  expect(await failures(id)).toEqual([
    ['bob@readers.test', 'The merge field {{order.code}} has no value for bob@readers.test'],
    ['cat@readers.test', 'The merge field {{name}} has no value for cat@readers.test'],
    ['dan@readers.test', 'The merge field {{order.code}} is not text for dan@readers.test; name one of its fields'],
  ]);
});

it('a recipient whose value makes no sender fails alone, and whoever listens is told so', async () => {
  const { events } = app.context.get<MailEngine>('MailEngine(default)', { strict: false }).mailer;
  const told: string[] = [];
  const stops = [
    events.on('failed', ({ messageId }) => told.push(messageId)),
    events.on('sent', ({ messageId }) => told.push(messageId)),
  ];
  const id = await post(
    {
      from: 'Shop <{{shop.mail}}@shop.test>',
      subject: 'x',
      text: 'x',
      recipients: [
        { to: 'ann@readers.test', context: { shop: { mail: 'news' } } },
        { to: 'bob@readers.test', context: { shop: { mail: { no: 'text' } } } },
        { to: 'cat@readers.test', context: { shop: { mail: 'news' } } },
      ],
    },
    { sent: 2, failed: 1 },
  );
  expect(arrived()).toEqual(['ann@readers.test', 'cat@readers.test']);
  expect(await failures(id)).toEqual([['bob@readers.test', expect.stringContaining('{{shop.mail}}')]]);
  await eventually(() => expect(told.sort()).toEqual([0, 1, 2].map((index) => `<${id}-0.${index}@shop.test>`)));
  for (const stop of stops) stop();
});

it('a recipient whose value makes a header word that no line can hold fails alone', async () => {
  const id = await post(
    {
      subject: 'Hi {{name}}',
      text: 'x',
      headers: { 'X-Post': '{{name}}' },
      recipients: [
        { to: 'ann@readers.test', context: { name: 'A'.repeat(1_000) } },
        { to: 'bob@readers.test', context: { name: 'B '.repeat(500) } },
        { to: 'cat@readers.test', context: { name: 'Cat' } },
      ],
    },
    { sent: 2, failed: 1 },
  );
  expect(arrived()).toEqual(['bob@readers.test', 'cat@readers.test']);
  expect(await failures(id)).toEqual([
    [
      'ann@readers.test',
      'The merge field {{name}} makes no header for ann@readers.test: it must not contain a word of more than 900 characters',
    ],
  ]);
});

it('with missingFields: empty, nobody fails for want of a value', async () => {
  await post(
    {
      subject: 'Hi {{name}}!',
      text: '[{{order.code}}]',
      html: '<p>[{{order.code}}{{{badge}}}]</p>',
      missingFields: 'empty',
      recipients: [
        { to: 'ann@readers.test' },
        { to: 'bob@readers.test', context: { name: '<Bob>', order: { code: '<7>' }, badge: '<b>&amp;</b>' } },
      ],
    },
    { sent: 2, failed: 0 },
  );
  const [ann, bob] = await Promise.all(
    ['ann', 'bob'].map((name) => parse(smtp.received.find(({ to }) => to[0]!.startsWith(name))!.raw)),
  );
  expect(ann).toMatchObject({ subject: 'Hi !', text: '[]\n', html: '<p>[]</p>\n' });
  expect(bob).toMatchObject({ subject: 'Hi <Bob>!', text: '[<7>]\n', html: '<p>[&lt;7&gt;<b>&amp;</b>]</p>\n' });
});
