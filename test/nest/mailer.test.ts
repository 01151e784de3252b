import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { createTransport, type SendMailOptions } from 'nodemailer';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { MailValidationError } from '../../src/errors.js';
import { markedBulk } from '../../src/message/marked-bulk.js';
import { MailModule } from '../../src/nest/mail.module.js';
import type { ISendMailOptions } from '../../src/nest/mailer-options.js';
import { MailerService } from '../../src/nest/mailer.service.js';
import { MailFake } from '../../src/testing/index.js';
import { startMail, type MailApp } from '../support/app.js';
import { parse } from '../support/parse.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';

const FROM = 'Shop <no-reply@shop.test>';
const files = temporaryFolder('attachments');

let smtp: TestSmtpServer;
let app: MailApp;
let mailer: MailerService;

beforeAll(async () => {
  smtp = await startSmtpServer({
    onRcpt: (address) => (address === 'nobody@b.test' ? { code: 550, text: '5.1.1 No such user' } : undefined),
  });
  writeFileSync(join(files, 'terms.txt'), 'Terms');
  app = await startMail({ smtp: smtp.url, queue: false, from: FROM, attachments: { allowedDir: files } });
  mailer = app.context.get(MailerService);
});

/** What both have in common: one goes through nodemailer, the other through us. */
type Shared = SendMailOptions & ISendMailOptions;

describe('sendMail()', () => {
  const options: [what: string, options: Shared][] = [
    ['a plain mail', { to: 'Ann <ann@a.test>', subject: 'Hi', text: 'Hello' }],
    [
      'lists of recipients',
      { to: 'a@a.test, B <b@b.test>', cc: [{ name: 'C, D', address: 'c@c.test' }], bcc: 'x@x.test' },
    ],
    [
      'another sender',
      { to: 'a@a.test', from: 'Ann <ann@shop.test>', replyTo: ['r@r.test', 'R <s@s.test>'], text: 'x' },
    ],
    ['a reply', { to: 'a@a.test', inReplyTo: 'one@a.test', references: ['<zero@a.test>', 'one@a.test'], text: 'x' }],
    ['headers', { to: 'a@a.test', headers: { 'X-One': '1', 'X-Two': ['2', '3'] }, text: 'x' }],
    [
      'headers in a list',
      {
        to: 'a@a.test',
        headers: [
          { key: 'X-Two', value: '2' },
          { key: 'X-Two', value: '3' },
        ],
      },
    ],
    ['high priority', { to: 'a@a.test', priority: 'high', text: 'x' }],
    ['low priority', { to: 'a@a.test', priority: 'low', text: 'x' }],
    ['bodies of bytes', { to: 'a@a.test', html: Buffer.from('<p>é</p>'), text: Buffer.from('é') }],
    [
      'attachments',
      {
        to: 'a@a.test',
        html: '<img src="cid:logo">',
        attachments: [
          { filename: 'a.txt', content: 'a' },
          { filename: 'b.bin', content: 'AAE=', encoding: 'base64' },
          { filename: 'c.txt', content: Buffer.from('c'), contentType: 'text/plain; charset=utf-8' },
          { filename: 'l.png', content: Buffer.from('l'), cid: 'logo' },
          { path: join(files, 'terms.txt') },
        ],
      },
    ],
    ['what is so anyway', { to: 'a@a.test', text: 'x', disableUrlAccess: true, cc: undefined, bcc: [] }],
  ];

  it.each(options)('sends %s as nodemailer does', async (_, given) => {
    smtp.clear();
    const nodemailer = createTransport(smtp.url);
    onTestFinished(() => nodemailer.close());
    const theirs = await nodemailer.sendMail({ from: FROM, ...given, disableFileAccess: false });
    const ours = await mailer.sendMail(given);
    expect(ours).toMatchObject({
      messageId: expect.stringMatching(/^<.*@shop\.test>$/) as string,
      envelope: theirs.envelope,
      accepted: theirs.accepted,
      rejected: theirs.rejected,
      pending: [],
      response: expect.stringMatching(/^250 /) as string,
    });
    const [one, two] = await Promise.all(smtp.received.map(async ({ raw }) => comparable(await parse(raw))));
    expect(two).toEqual(one);
  });

  it('tells whom the server refused', async () => {
    const { accepted, rejected } = await mailer.sendMail({ to: ['a@a.test', 'nobody@b.test'], text: 'x' });
    expect({ accepted, rejected }).toEqual({ accepted: ['a@a.test'], rejected: ['nobody@b.test'] });
  });

  it('puts the context into subject and HTML, escaped', async () => {
    smtp.clear();
    const context = { name: 'Ann <3\r\nBcc: x@x.test' };
    await mailer.sendMail({ to: 'a@a.test', subject: 'Hi {{ name }} {{other}}', html: '<p>{{name}}</p>', context });
    const { subject, html } = await parse(smtp.received[0]!.raw);
    expect(subject).toBe('Hi Ann <3 Bcc: x@x.test {{other}}');
    expect(html).toContain('<p>Ann &lt;3\nBcc: x@x.test</p>');
  });

  it('takes null for nothing', async () => {
    const fields = ['attachments', 'subject', 'headers', 'context', 'references', 'cc', 'html', 'priority', 'template'];
    const nothing = Object.fromEntries(fields.map((field) => [field, null]));
    expect((await mailer.sendMail({ ...nothing, to: 'a@a.test', text: 'x' })).accepted).toEqual(['a@a.test']);
  });

  it.each<[string, unknown]>([
    ['message', undefined],
    ['references', { references: [null] }],
    ['inReplyTo', { inReplyTo: 5 }],
    ['subject', { subject: 5 }],
    ['template', { template: 5 }],
    ['priority', { priority: 'urgent' }],
    ['priority', { priority: 'toString' }],
    ['headers[0]', { headers: [null] }],
    ['attachments', { attachments: 'x' }],
    ['attachments[0]', { attachments: [null] }],
    ['attachments[0].encoding', { attachments: [{ content: 'x', encoding: 5 }] }],
  ])('says that %s is wrong in %j', async (path, wrong) => {
    const given = wrong === undefined ? wrong : { to: 'a@a.test', text: 'x', ...(wrong as object) };
    expect((await failure(given as object)).errors.map((fault) => fault.path)).toEqual([path]);
  });

  it('names every option that cannot be kept, and sends nothing', async () => {
    smtp.clear();
    const refused = {
      alternatives: [],
      amp: '<html>',
      attachDataUrls: true,
      date: new Date(),
      dkim: {},
      disableFileAccess: false,
      disableUrlAccess: false,
      dsn: {},
      encoding: 'utf8',
      envelope: {},
      icalEvent: 'BEGIN',
      list: {},
      messageId: '<a@a>',
      normalizeHeaderKey: String,
      raw: 'x',
      sender: 'a@a.test',
      textEncoding: 'base64',
      textTemplate: 'a',
      timeout: 5,
      watchHtml: 'x',
      xMailer: 'x',
      colour: 'red',
    };
    const error = await failure({
      ...refused,
      to: 'a@a.test',
      html: { path: '/etc/passwd' },
      text: Readable.from(['x']),
      headers: { 'X-A': { prepared: true, value: 'x' } },
      attachments: [
        { href: 'http://x.test', httpHeaders: {}, raw: 'x', headers: {}, contentTransferEncoding: '7bit' },
        { path: 'https://x.test/a.png' },
        { path: 'data:text/plain,x' },
        { path: 'a.txt', filename: false },
      ],
    });
    const attachment = ['href', 'httpHeaders', 'contentTransferEncoding', 'headers', 'raw'].map(
      (f) => `attachments[0].${f}`,
    );
    expect(error.errors.map(({ path }) => path).sort()).toEqual(
      [
        ...Object.keys(refused),
        'html',
        'text',
        'headers.X-A',
        ...attachment,
        'attachments[1].path',
        'attachments[2].path',
        'attachments[3].filename',
      ].sort(),
    );
    expect(error.message).toContain("icalEvent: is not supported; attach it with contentType 'text/calendar");
    expect(error.message).toContain('colour: is not a known field');
    expect(smtp.received).toEqual([]);
  });

  it('refuses what send() refuses', async () => {
    const outside = await failure({ to: 'a@a.test', attachments: [{ path: '/etc/passwd' }] });
    expect(outside.errors).toEqual([
      { path: 'attachments[0].path', message: expect.stringContaining('outside') as string },
    ]);
    expect((await failure({ to: 'nobody' })).errors[0]?.path).toBe('to');
  });

  it('knows the transports', async () => {
    await expect(mailer.sendMail({ to: 'a@a.test', text: 'x', transporterName: 'other' })).rejects.toThrow(/other/);
    expect((await mailer.sendMail({ to: 'a@a.test', text: 'x', transporterName: 'main' })).accepted).toEqual([
      'a@a.test',
    ]);
    expect(await mailer.verifyAllTransporters()).toBe(true);
    const { context } = await startMail({ queue: false });
    expect(await context.get(MailerService).verifyAllTransporters()).toBe(false);
  });

  async function failure(given: object): Promise<MailValidationError> {
    const error: unknown = await mailer.sendMail(given).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MailValidationError);
    return error as MailValidationError;
  }
});

it('of a queued mail tells that it is not sent', async () => {
  const fake = new MailFake();
  const classify = markedBulk({ address: 'bulk@shop.test' });
  const options = { from: FROM, transports: [{ name: 'main', url: 'smtp://smtp.invalid' }], classify };
  const module = await fake.install(Test.createTestingModule({ imports: [MailModule.forRoot(options)] })).compile();
  onTestFinished(() => module.close());
  await module.init();
  const info = await module
    .get(MailerService)
    .sendMail({ to: 'A <a@a.test>, bulk@shop.test', bcc: 'b@b.test', text: 'x' });
  expect(info).toMatchObject({
    accepted: [],
    rejected: [],
    pending: ['a@a.test', 'b@b.test'],
    envelope: { from: 'no-reply@shop.test', to: ['a@a.test', 'b@b.test'] },
    response: `queued as ${info.receipt.id}, not sent yet`,
    receipt: { status: 'queued' },
  });
  fake.assertQueued({ to: 'a@a.test' });
});

it('a named mailer has no MailerService', async () => {
  const options = {
    name: 'news',
    from: FROM,
    transports: [{ name: 'main', url: 'smtp://smtp.invalid' }],
    queue: false as const,
  };
  const module = await Test.createTestingModule({ imports: [MailModule.forRoot(options)] }).compile();
  expect(() => module.get(MailerService)).toThrow();
  await module.close();
});

/** Without what differs from mail to mail, and nodemailer's name for itself. */
function comparable({ headers, messageId: _, ...mail }: Awaited<ReturnType<typeof parse>>): object {
  const { date: _date, 'message-id': _id, 'x-mailer': _mailer, 'content-type': type = '', ...others } = headers;
  return { ...mail, headers: { ...others, type: type.replace(/boundary=.*/s, '') } };
}
