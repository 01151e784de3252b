import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { randomBytes } from 'node:crypto';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { MailError } from '../../src/errors.js';
import { Mail, type Mailable, type MailRenderContext } from '../../src/nest/mail-class.js';
import type { Batch } from '../../src/queue/batch.js';
import type { MailState, MailStatus } from '../../src/queue/status.js';
import type { TemplateEngine } from '../../src/templates/engine.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse, type ParsedMessage } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { everythingIn } from '../support/stored.js';
import { onEveryStore } from '../support/stores.js';

interface Post {
  title: string;
  reader: string;
  fault?: 'throws' | 'break' | 'later';
}

@Mail({ name: 'new-post', lane: 'bulk' })
class NewPostMail implements Mailable<Post> {
  private isAway = true;

  render({ title, reader, fault }: Post, { locale = 'en', to }: MailRenderContext) {
    if (fault === 'throws') throw new TypeError('no such author');
    if (fault === 'later' && this.isAway) {
      this.isAway = false;
      throw new MailError('the database is away', { permanent: false });
    }
    return {
      subject: fault === 'break' ? 'one\r\nBcc: all@readers.test' : `${title} (${locale})`,
      html: `<p>Rendered for ${reader}, ${to[0]!.address}</p>`,
    };
  }
}

@Mail({ name: 'bill', lane: 'bulk', from: 'Bank <bank@bank.test>', headers: { 'X-Kind': 'bill', 'X-Own': 'class' } })
class BillMail implements Mailable<number> {
  render(amount: number) {
    return {
      subject: `You owe ${amount}`,
      text: 'See there.',
      headers: { 'x-own': `render ${amount}`, 'X-Sent': 'render' },
      attachments: [{ filename: 'amount.txt', content: String(amount) }],
    };
  }
}

const known = new Set(['news']);
const engine: TemplateEngine = {
  has: (name) => known.has(name),
  render: (name, { who, where, what }, { locale = 'none' }) => ({
    subject: `${name} in ${locale}`,
    html: `<b>${String(who)} ${String(where)} ${String(what)}</b>`,
  }),
};

const received = async (smtp: TestSmtpServer): Promise<Map<string, ParsedMessage>> => {
  const mails = await Promise.all(smtp.received.map(({ raw }) => parse(raw)));
  return new Map(mails.map((mail) => [mail.to[0]!.address, mail]));
};
const reaches = ({ mail }: MailApp, id: string, state: MailState = 'sent'): Promise<MailStatus> =>
  eventually(async () => {
    const status = (await mail.status(id))!;
    expect(status.state).toBe(state);
    return status;
  });
const dataOf = async ({ context }: MailApp, id: string): Promise<Batch> => {
  const job = await context.get<Queue>(getQueueToken('mail')).getJob(id.replace(/\.\d+$/, ''));
  return job!.data as Batch;
};

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;

  beforeAll(async () => {
    smtp = await startSmtpServer();
    app = await startMail({
      smtp: smtp.url,
      providers: [NewPostMail, BillMail],
      templates: { engine },
      queue: { connection: await store.create(), batch: { size: 25 } },
    });
  });
  beforeEach(() => smtp.clear());

  const completed = (id: string): Promise<unknown> =>
    eventually(async () => expect((await app.mail.campaign(id))?.state).toBe('completed'));

  it('queues the data of a class’s mails in one batch, and renders each where it is sent', async () => {
    const { mail } = app;
    await mail.pause();
    const readers = Array.from({ length: 20 }, (_, n) => `reader${n}`);
    const receipts = await Promise.all(
      readers.map((reader) =>
        mail.send(NewPostMail, { to: `${reader}@mail.test`, data: { title: 'Ferns', reader }, locale: 'ko' }),
      ),
    );
    const batch = await dataOf(app, receipts[19]!.id);
    // No worker of an earlier release reads above 3.
    expect(batch).toMatchObject({ v: 4, shared: { source: { kind: 'mail', name: 'new-post' } } });
    expect(batch.items).toHaveLength(20);
    expect(JSON.stringify(batch)).not.toContain('Rendered');
    await mail.resume();
    for (const { id } of receipts) await reaches(app, id);
    const mails = await received(smtp);
    for (const [index, reader] of readers.entries()) {
      const got = mails.get(`${reader}@mail.test`)!;
      expect(got).toMatchObject({ subject: 'Ferns (ko)', messageId: receipts[index]!.messageId });
      expect(got.html).toContain(`Rendered for ${reader}, ${reader}@mail.test`);
      expect(got.text?.trim()).toBe(`Rendered for ${reader}, ${reader}@mail.test`);
    }
  });

  it('fails a mail alone that cannot be rendered, or is no valid mail then, and tries one again whose trouble passes', async () => {
    const faults = { a: 'throws', b: 'break', c: 'later', d: undefined } as const;
    const { id } = await app.mail.sendBulk(NewPostMail, {
      data: { title: 'Moss' },
      recipients: Object.entries(faults).map(([reader, fault]) => ({
        to: `${reader}@mail.test`,
        data: { reader, ...(fault && { fault }) },
      })),
    });
    await completed(id);
    const failed: Record<string, string | undefined> = {};
    for await (const { recipients, reply } of app.mail.failures(id)) failed[recipients[0]!.address] = reply;
    expect(failed).toEqual({
      'a@mail.test': 'The mail class new-post could not be rendered: no such author',
      'b@mail.test': 'The mail class new-post could not be rendered: subject: must not contain CR, LF or NUL',
    });
    expect([...(await received(smtp)).keys()].sort()).toEqual(['c@mail.test', 'd@mail.test']);
    expect(await app.mail.status(`${id}-0.2`)).toMatchObject({ state: 'sent', attempts: 2 });
  });

  it('adds what the class, render() and send() say beside the parts, the last one first', async () => {
    const extra = {
      headers: { 'X-Sent': 'send' },
      attachments: [{ filename: 'terms.txt', content: 'terms' }],
    };
    const one = await app.mail.send(BillMail, { to: 'one@mail.test', data: 7, ...extra, replyTo: 'desk@bank.test' });
    const two = await app.mail.send(BillMail, { to: 'two@mail.test', data: 8, from: 'Boss <boss@bank.test>' });
    await Promise.all([reaches(app, one.id), reaches(app, two.id)]);
    const mails = await received(smtp);
    const first = mails.get('one@mail.test')!;
    expect(first).toMatchObject({
      subject: 'You owe 7',
      from: { name: 'Bank', address: 'bank@bank.test' },
      replyTo: [{ address: 'desk@bank.test' }],
      headers: { 'x-kind': 'bill', 'x-own': 'render 7', 'x-sent': 'send' },
      messageId: one.messageId,
    });
    expect(first.attachments.map(({ filename, content }) => [filename, content.toString()])).toEqual([
      ['amount.txt', '7'],
      ['terms.txt', 'terms'],
    ]);
    expect(smtp.received.find(({ to }) => to.includes('one@mail.test'))!.from).toBe('bank@bank.test');
    expect(mails.get('two@mail.test')!.from).toEqual({ name: 'Boss', address: 'boss@bank.test' });
  });

  it('renders a campaign’s template with a recipient’s values before its group’s, and those before all', async () => {
    const { id } = await app.mail.sendBulk({
      template: 'news',
      text: 'By hand: {{who}}',
      context: { who: 'all', where: 'all', what: 'all' },
      groups: { g: { where: 'group', what: 'group' } },
      locale: 'en',
      recipients: [
        { to: 'a@mail.test', group: 'g', context: { what: '{{own}}' }, locale: 'ko' },
        { to: 'b@mail.test' },
      ],
    });
    await completed(id);
    const mails = await received(smtp);
    expect(mails.get('a@mail.test')).toMatchObject({ subject: 'news in ko', headers: { to: 'a@mail.test' } });
    expect(mails.get('a@mail.test')!.html).toContain('<b>all group {{own}}</b>');
    expect(mails.get('b@mail.test')!.html).toContain('<b>all all all</b>');
    // Nothing is merged where something renders.
    expect(mails.get('b@mail.test')!.text?.trim()).toBe('By hand: {{who}}');
  });

  it('waits for what this worker does not have, and says so', async () => {
    known.add('tomorrow');
    await app.mail.pause();
    const { id } = await app.mail.sendBulk({ template: 'tomorrow', recipients: [{ to: 'a@mail.test' }] });
    known.delete('tomorrow');
    await app.mail.resume();
    const reason = 'This process has no template with the name tomorrow';
    await eventually(async () => expect((await app.mail.campaign(id))?.lastError).toBe(reason));
    expect(await app.mail.campaign(id)).toMatchObject({ sent: 0, failed: 0 });
    known.add('tomorrow');
    await completed(id);
    expect((await received(smtp)).get('a@mail.test')).toMatchObject({ subject: 'tomorrow in none' });
  });
});

it('waits for a worker that has the class, with its data encrypted meanwhile', async () => {
  const { url: connection } = await startRedis();
  const smtp = await startSmtpServer();
  const encryptionKey = { id: 'one', key: randomBytes(32).toString('base64') };
  const newer = await startMail({ providers: [NewPostMail], queue: { connection, worker: false, encryptionKey } });
  const { id } = await newer.mail.sendBulk(NewPostMail, {
    recipients: [{ to: 'ann@mail.test', data: { title: 'Secretly', reader: 'Ann' } }],
  });
  await newer.close();
  expect(await everythingIn(connection)).not.toMatch(/Secretly|new-post/);

  const older = await startMail({ smtp: smtp.url, queue: { connection, encryptionKey } });
  const reason = 'This process has no mail class with the name new-post';
  await eventually(async () => expect((await older.mail.campaign(id))?.lastError).toBe(reason));
  expect((await older.mail.queue()).batches).toMatchObject({ setAside: 0 });
  await older.close();

  const worker = await startMail({ smtp: smtp.url, providers: [NewPostMail], queue: { connection, encryptionKey } });
  await reaches(worker, `${id}-0.0`);
  expect((await received(smtp)).get('ann@mail.test')).toMatchObject({ subject: 'Secretly (en)' });
  await worker.close();
});
