import 'reflect-metadata';
import { type INestApplication, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailEvents } from '../../src/events/events.js';
import { OnMail } from '../../src/nest/on-mail.js';
import type { CampaignReceipt } from '../../src/queue/queueing.js';
import { boot } from '../nest/boot.js';
import { atEnd } from '../support/cleanup.js';
import { dkimKey, dkimResults } from '../support/dkim.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { openPage } from '../support/page.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type ReceivedMessage, type TestSmtpServer } from '../support/smtp-server.js';
import { readPage, tableRows } from '../support/snippets.js';
import { membersOf } from './declared.js';

interface Newsletter {
  send(subject: string, html: string, recipients: object[]): Promise<CampaignReceipt>;
}

const page = openPage('docs/unsubscribe.md');

class Heard {
  readonly events: MailEvents['unsubscribed'][] = [];

  @OnMail('unsubscribed')
  heard(event: MailEvents['unsubscribed']): void {
    this.events.push(event);
  }
}

describe('the code that docs/unsubscribe.md opens with', () => {
  let smtp: TestSmtpServer;
  let app: INestApplication;
  let send: (subject: string, ...readers: string[]) => Promise<string>;

  beforeAll(async () => {
    smtp = await startSmtpServer();
    const port = await freePort();
    vi.stubEnv('SMTP_URL', smtp.url);
    vi.stubEnv('QUEUE_URL', (await startRedis()).url);
    vi.stubEnv('UNSUBSCRIBE_SECRET', 'a secret of the test, of 32 bytes at least');
    vi.stubEnv('UNSUBSCRIBE_URL', `http://localhost:${port}/unsubscribe`);
    const { NewsletterModule, Newsletter } = await page.load<{ NewsletterModule: Type; Newsletter: Type<Newsletter> }>(
      'src/newsletter.module.ts',
    );
    const root = { module: class AppModule {}, imports: [NewsletterModule], providers: [Heard] };
    app = await NestFactory.create(root, { logger: false, abortOnError: false });
    await app.listen(port);
    atEnd(() => app.close());
    vi.unstubAllEnvs();
    send = async (subject, ...readers) => {
      smtp.clear();
      const recipients = readers.map((to) => ({ to }));
      const { id } = await app.get<Newsletter>(Newsletter).send(subject, '<p>News</p>', recipients);
      await eventually(async () =>
        expect(await app.get(MailService).campaign(id)).toMatchObject({ state: 'completed' }),
      );
      return id;
    };
  });

  const receivers = (): string[] => smtp.received.flatMap(({ to }) => to).sort();
  const linkTo = async (address: string): Promise<string> => {
    const { headers, html } = await parse(smtp.received.find(({ to }) => to.includes(address))!.raw);
    expect(headers['list-unsubscribe-post']).toBe('List-Unsubscribe=One-Click');
    const [, link = ''] = /^<([^<>]+)>$/.exec(headers['list-unsubscribe']!) ?? [];
    expect(html).toContain(`<a href="${link}">Unsubscribe</a>`);
    return link;
  };
  /** As a mail program does it. */
  const oneClick = (link: string): Promise<Response> =>
    fetch(link, { method: 'POST', body: new URLSearchParams('List-Unsubscribe=One-Click'), redirect: 'error' });

  it('unsubscribes by one click, and tells of it', async () => {
    const id = await send('First', 'Ann@mail.test', 'bob@mail.test');
    expect(receivers()).toEqual(['Ann@mail.test', 'bob@mail.test']);
    expect((await oneClick(await linkTo('Ann@mail.test'))).status).toBe(200);

    const mail = app.get(MailService);
    await eventually(() =>
      expect(app.get(Heard).events).toMatchObject([{ address: 'Ann@mail.test', campaignId: id, list: 'news' }]),
    );
    const note = `By one-click, from message ${id}-0.0`;
    expect(await mail.suppressions.get('ann@mail.test')).toMatchObject([
      { scope: 'list:news', reason: 'unsubscribed', note },
    ]);
    expect(await mail.campaign(id)).toMatchObject({ feedback: { unsubscribed: 1 } });
  });

  it('leaves who unsubscribed out of the next campaign of that list alone', async () => {
    await send('First', 'Dan@mail.test');
    await oneClick(await linkTo('Dan@mail.test'));
    await send('Second', 'dan@mail.test', 'bob@mail.test');
    expect(receivers()).toEqual(['bob@mail.test']);
    const recipients = [{ to: 'dan@mail.test' }];
    await app.get(MailService).sendBulk({ list: 'offers', subject: 'x', text: 'x', recipients });
    await eventually(() => expect(receivers()).toContain('dan@mail.test'));
  });

  it('takes the mail that a mail program sends instead', async () => {
    const mail = app.get(MailService);
    const { UnsubscribeInbox } = await page.load<{ UnsubscribeInbox: Type<{ take(raw: Buffer): Promise<boolean> }> }>(
      'src/unsubscribe-inbox.ts',
    );
    const inbox = new UnsubscribeInbox(mail);
    smtp.clear();
    await mail.send({
      ...{ lane: 'bulk', to: 'eve@mail.test', subject: 'x', text: 'x' },
      unsubscribe: { mailto: 'out@shop.example' },
    });
    await eventually(() => expect(receivers()).toEqual(['eve@mail.test']));
    const { headers } = await parse(smtp.received[0]!.raw);
    const [, link = ''] = /<(mailto:[^<>]+)>/.exec(headers['list-unsubscribe']!) ?? [];
    const subject = new URL(link).searchParams.get('subject')!;
    expect(await inbox.take(Buffer.from(`From: eve@mail.test\r\nSubject: ${subject.slice(0, -1)}\r\n\r\n`))).toBe(
      false,
    );
    expect(await mail.suppressions.get('eve@mail.test')).toEqual([]);
    expect(await inbox.take(Buffer.from(`From: eve@mail.test\r\nSubject: ${subject}\r\n\r\n`))).toBe(true);
    expect(await mail.suppressions.get('eve@mail.test')).toMatchObject([{ scope: 'bulk', reason: 'unsubscribed' }]);
  });

  it('writes the link on the priority lane as well', async () => {
    smtp.clear();
    await app.get(MailService).send({ to: 'fay@mail.test', subject: 'x', text: 'x', unsubscribe: true });
    const { headers } = await parse(smtp.received[0]!.raw);
    const [, token = ''] = /token=([\w-]+)>/.exec(headers['list-unsubscribe']!) ?? [];
    const read = app.get(MailService).unsubscriptions.read(token);
    expect(read).toMatchObject({ state: 'valid', claims: { address: 'fay@mail.test' } });
  });
});

it('docs/deliverability.md opens with an application whose campaigns keep the rules', async () => {
  const smtp = await startSmtpServer();
  const key = dkimKey('mail2026', 'rsa', 'shop.example');
  vi.stubEnv('SMTP_URL', smtp.url);
  vi.stubEnv('QUEUE_URL', (await startRedis()).url);
  vi.stubEnv('UNSUBSCRIBE_SECRET', 'a secret of the test, of 32 bytes at least');
  vi.stubEnv('DKIM_KEY', key.pem);
  onTestFinished(() => void vi.unstubAllEnvs());
  const opening = openPage('docs/deliverability.md');
  const { CampaignModule } = await opening.load<{ CampaignModule: Type }>('src/campaign.module.ts');
  const mail = (await boot({ imports: [CampaignModule] })).get(MailService);
  const recipients = [{ to: 'ann@mail.test' }];
  await mail.sendBulk({ list: 'news', unsubscribe: true, subject: 'x', text: '{{unsubscribeUrl}}', recipients });
  await eventually(() => expect(smtp.received).toHaveLength(1));
  const [{ raw }] = smtp.received as [ReceivedMessage];
  expect(await dkimResults(raw, key)).toEqual(['pass']);
  const { text = '', headers } = await parse(raw);
  expect(headers['list-unsubscribe']).toBe(`<${text.trim()}>`);
});

it('docs/unsubscribe.md has every option of MailUnsubscribeModule', () => {
  const declared = [...membersOf('src/nest/unsubscribe/options.ts', 'MailUnsubscribeOptions').keys()];
  const shown = tableRows(readPage('docs/unsubscribe.md')).map(([option = '']) => option.replaceAll('`', ''));
  expect(shown).toEqual(expect.arrayContaining(declared));
});

it('docs/unsubscribe.md shows a page in the reader’s language', async () => {
  const { UnsubscribePageModule } = await page.load<{ UnsubscribePageModule: Type }>('src/unsubscribe-page.module.ts');
  expect(UnsubscribePageModule).toBeTypeOf('function');
});
