import 'reflect-metadata';
import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, expect, it } from 'vitest';
import { MailError } from '../../src/errors.js';
import { Mail, type Mailable, type MailRenderContext } from '../../src/nest/mail-class.js';
import type { TemplateEngine } from '../../src/templates/engine.js';
import type { BatchHead } from '../../src/queue/batch.js';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp, type MailAppOptions } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse, type ParsedMessage } from '../support/parse.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { everythingIn } from '../support/stored.js';
import { onEveryStore } from '../support/stores.js';

interface Post {
  title: string;
  reader: string;
  fault?: 'throws' | 'break' | 'later';
}

@Mail({ name: 'new-post', lane: 'bulk' })
class NewPostMail implements Mailable<Post> {
  busy = 1;

  render({ title, reader, fault }: Post, { locale = 'en', to }: MailRenderContext) {
    if (fault === 'throws') throw new Error('no such author');
    if (fault === 'later' && this.busy-- > 0) throw new MailError('the database is away', { permanent: false });
    return {
      subject: fault === 'break' ? 'one\r\nBcc: all@readers.test' : `${title} (${locale})`,
      html: `<p>Rendered for ${reader}, ${to[0]!.address}</p>`,
    };
  }
}

@Mail({ name: 'statement', from: 'Bank <bank@bank.test>', headers: { 'X-Kind': 'statement', 'X-Own': 'class' } })
class StatementMail implements Mailable<{ amount: number }> {
  render({ amount }: { amount: number }) {
    return {
      subject: `You owe ${amount}`,
      text: 'See there.',
      headers: { 'X-Own': `render ${amount}` },
      attachments: [{ filename: 'amount.txt', content: String(amount) }],
    };
  }
}

const engine: TemplateEngine = {
  has: (name) => name !== 'gone',
  render: (name, context, { locale = 'en' }) => ({
    subject: `${name} ${locale} ${String(context['who'])}`,
    html: `<b>${JSON.stringify(context)}</b>`,
  }),
};

onEveryStore((store) => {
  let connection: string;
  let smtp: TestSmtpServer;
  let app: MailApp;
  let refuse: (address: string) => Refusal | undefined = () => undefined;

  const start = async (options: MailAppOptions = {}): Promise<MailApp> => {
    await app?.close();
    return (app = await startMail({
      smtp: smtp.url,
      providers: [NewPostMail, StatementMail],
      templates: { engine },
      ...options,
      queue: { connection, batch: { size: 3 }, ...options.queue },
    }));
  };
  const settled = (id: string, state: MailStatus['state'] = 'sent'): Promise<MailStatus> =>
    eventually(async () => {
      const status = (await app.mail.status(id))!;
      expect(status.state).toBe(state);
      return status;
    });
  const completed = (id: string): Promise<unknown> =>
    eventually(async () => expect((await app.mail.campaign(id))?.state).toBe('completed'));
  const received = async (): Promise<Record<string, ParsedMessage>> => {
    const mails = await Promise.all(smtp.received.map(({ raw }) => parse(raw)));
    return Object.fromEntries(mails.map((mail) => [mail.to[0]!.address, mail]));
  };

  beforeAll(async () => {
    connection = await store.create();
    smtp = await startSmtpServer({ onRcpt: (address) => refuse(address) });
  });

  it('queues data, not mails, for sends of a class that share a batch', async () => {
    const { mail } = await start({ queue: { worker: false } });
    const receipts = await Promise.all(
      ['ann', 'bob'].map((name) =>
        mail.send(NewPostMail, { to: `${name}@readers.test`, data: { title: 'Ferns', reader: name }, locale: 'ko' }),
      ),
    );
    expect(new Set(receipts.map(({ id }) => id.replace(/\.\d+$/, ''))).size).toBe(1);
    await app.close();
    const text = await everythingIn(connection);
    expect(text).toContain('new-post');
    expect(text).not.toContain('Rendered for');

    await start();
    for (const { id } of receipts) await settled(id);
    const { 'ann@readers.test': ann, 'bob@readers.test': bob } = await received();
    expect(ann).toMatchObject({ subject: 'Ferns (ko)', messageId: receipts[0]!.messageId });
    expect(ann!.html).toContain('Rendered for ann, ann@readers.test');
    expect(bob!.text?.trim()).toBe('Rendered for bob, bob@readers.test');
  });
});
