import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MailValidationError } from '../../src/errors.js';
import type { MailStatus } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let refuse: (address: string) => Refusal | undefined;

  beforeAll(async () => {
    smtp = await startSmtpServer({ onRcpt: (address) => refuse(address) });
    app = await startMail({ smtp: smtp.url, queue: { connection: await store.create(), batch: { size: 50 } } });
  });
  beforeEach(() => {
    smtp.clear();
    refuse = () => undefined;
  });

  const settled = (id: string, state: MailStatus['state'] = 'sent'): Promise<MailStatus> =>
    eventually(async () => {
      const status = await app.mail.status(id);
      expect(status?.state).toBe(state);
      return status!;
    });
  const completed = (id: string): Promise<unknown> =>
    eventually(async () => expect((await app.mail.campaign(id))?.state).toBe('completed'), { within: 20_000 });

  describe('send() on the bulk lane', () => {
    it('answers that it is queued, sends it, and knows what the server said', async () => {
      const receipt = await app.mail.send({
        lane: 'bulk',
        to: 'Kim <kim@readers.test>',
        subject: '새 글 😀',
        text: 'Hi {{name}}',
        html: '<p>Hi</p>',
        headers: { 'X-Kind': 'news' },
        attachments: [
          { filename: '명세서.pdf', content: Buffer.from([1, 0, 255, 13, 10]), contentType: 'application/pdf' },
        ],
      });
      expect(receipt).toMatchObject({ status: 'queued', lane: 'bulk' });
      const status = await settled(receipt.id);
      expect(status).toMatchObject({ messageId: receipt.messageId, transport: 'main', attempts: 1 });
      expect(status.reply).toMatch(/^250 /);
      expect(smtp.received).toHaveLength(1);
      expect(smtp.received[0]!.to).toEqual(['kim@readers.test']);
      const mail = await parse(smtp.received[0]!.raw);
      expect(mail).toMatchObject({ subject: '새 글 😀', messageId: receipt.messageId });
      expect(mail.to).toEqual([{ name: 'Kim', address: 'kim@readers.test' }]);
      expect(mail.text?.trim()).toBe('Hi {{name}}');
      expect(mail.headers['x-kind']).toBe('news');
      expect(mail.attachments.map(({ filename, content }) => [filename, [...content]])).toEqual([
        ['명세서.pdf', [1, 0, 255, 13, 10]],
      ]);
    });

    it('reaches to, cc and bcc with one message, and Bcc never leaves', async () => {
      const receipt = await app.mail.send({
        lane: 'bulk',
        to: 'a@readers.test',
        cc: 'b@readers.test',
        bcc: ['c@readers.test'],
        subject: 'All',
        text: 'x',
      });
      await settled(receipt.id);
      expect(smtp.received.map(({ to }) => to)).toEqual([['a@readers.test', 'b@readers.test', 'c@readers.test']]);
      expect(smtp.received[0]!.raw.toString()).not.toMatch(/bcc|c@readers/i);
    });

    it('tries only the recipient again that was deferred, headers unchanged', async () => {
      let deferrals = 0;
      refuse = (address) =>
        address.startsWith('later') && deferrals++ === 0 ? { code: 450, text: '4.2.0 greylisted' } : undefined;
      const receipt = await app.mail.send({
        lane: 'bulk',
        to: ['now@readers.test', 'later@readers.test'],
        subject: 'Both',
        text: 'x',
      });
      const status = await settled(receipt.id);
      expect(smtp.received.map(({ to }) => to)).toEqual([['now@readers.test'], ['later@readers.test']]);
      expect(smtp.received[1]!.raw.equals(smtp.received[0]!.raw)).toBe(true);
      expect(status.recipients.map(({ address, attempts }) => [address, attempts])).toEqual([
        ['now@readers.test', 1],
        ['later@readers.test', 2],
      ]);
    });

    it('records a refusal with the server’s words and tries no more', async () => {
      refuse = () => ({ code: 550, text: '5.1.1 no such user here' });
      const receipt = await app.mail.send({ lane: 'bulk', to: 'gone@readers.test', subject: 'x', text: 'x' });
      expect(await settled(receipt.id, 'failed')).toMatchObject({
        transport: 'main',
        replyCode: 550,
        enhancedCode: '5.1.1',
        attempts: 1,
        reply: expect.stringContaining('no such user here') as string,
      });
    });

    it('gives up after the attempts that the policy allows', async () => {
      refuse = () => ({ code: 452, text: '4.2.2 mailbox full' });
      const receipt = await app.mail.send({ lane: 'bulk', to: 'full@readers.test', subject: 'x', text: 'x' });
      await eventually(async () => expect((await app.mail.status(receipt.id))?.state).toBe('deferred'));
      expect(await settled(receipt.id, 'failed')).toMatchObject({ attempts: 5, enhancedCode: '4.2.2' });
    });

    it('refuses an invalid message before anything is queued', async () => {
      await expect(app.mail.send({ lane: 'bulk', to: 'nobody', subject: 'a\r\nb' })).rejects.toBeInstanceOf(
        MailValidationError,
      );
    });
  });

  describe('sendBulk()', () => {
    const people = Array.from({ length: 420 }, (_, n) => ({
      to: `reader${n}@readers.test`,
      context: { name: `R<${n}>` },
    }));
    const sources: Record<string, () => Iterable<(typeof people)[0]> | AsyncIterable<(typeof people)[0]>> = {
      'an array': () => people,
      'a generator': function* () {
        yield* people;
      },
      'an async generator': async function* () {
        for (const [index, person] of people.entries()) {
          if (index % 100 === 0) await Promise.resolve();
          yield person;
        }
      },
    };

    it.each(Object.keys(sources))('makes a mail of its own for each recipient of %s', async (kind) => {
      const receipt = await app.mail.sendBulk({
        name: 'A post',
        from: '{{name}} via Shop <no-reply@shop.test>',
        subject: 'For {{name}}',
        html: '<b>{{name}}</b>',
        text: '{{name}}',
        headers: { 'X-Reader': '{{name}}' },
        recipients: sources[kind]!(),
      });
      expect(receipt).toMatchObject({ queued: 420, duplicates: 0, rejected: 0, rejections: [] });
      await completed(receipt.id);
      expect(await app.mail.campaign(receipt.id)).toMatchObject({
        name: 'A post',
        total: 420,
        sent: 420,
        queued: 0,
        failed: 0,
        finishedAt: expect.any(Date) as Date,
      });
      expect(smtp.received.map(({ to }) => to.join()).sort()).toEqual(people.map(({ to }) => to).sort());
      for (const { raw, to } of smtp.received.slice(0, 20)) {
        const mail = await parse(raw);
        const number = /\d+/.exec(to[0]!)![0];
        expect(mail.to.map(({ address }) => address)).toEqual(to);
        expect(mail).toMatchObject({
          subject: `For R<${number}>`,
          html: expect.stringContaining(`<b>R&lt;${number}&gt;</b>`) as string,
        });
        expect(mail.text?.trim()).toBe(`R<${number}>`);
        expect(mail.from).toEqual({ name: `R<${number}> via Shop`, address: 'no-reply@shop.test' });
        expect(mail.headers['x-reader']).toBe(`R<${number}>`);
      }
      expect(new Set(smtp.received.map(({ raw }) => /^Message-ID: (.*)$/im.exec(raw.toString())?.[1])).size).toBe(420);
    });

    it('serves each address once and reports the invalid ones with the place they stood in', async () => {
      const receipt = await app.mail.sendBulk({
        subject: 'x',
        text: 'x',
        recipients: [
          { to: 'one@readers.test' },
          { to: 'not an address' },
          { to: 'one@READERS.test' },
          { to: 'two@readers.test', context: { bad: 'a\0b' } },
          { to: 'one@readers.test', idempotencyKey: 'second invoice' },
        ],
      });
      expect(receipt).toMatchObject({ queued: 2, duplicates: 1, rejected: 2 });
      expect(receipt.rejections.map(({ index, errors }) => [index, errors[0]?.path])).toEqual([
        [1, 'recipients[1].to'],
        [3, 'recipients[3].context'],
      ]);
      await completed(receipt.id);
      expect(smtp.received).toHaveLength(2);
    });

    it('fails a recipient without a merge value alone, and names the field', async () => {
      const receipt = await app.mail.sendBulk({
        subject: 'Hi {{name}}',
        text: 'x',
        recipients: [{ to: 'a@readers.test', context: { name: 'A' } }, { to: 'b@readers.test' }],
      });
      await completed(receipt.id);
      const failures: MailStatus[] = [];
      for await (const failure of app.mail.failures(receipt.id)) failures.push(failure);
      expect(failures).toMatchObject([
        { recipients: [{ address: 'b@readers.test' }], reply: expect.stringContaining('{{name}}') as string },
      ]);
      expect(await app.mail.campaign(receipt.id)).toMatchObject({ sent: 1, failed: 1 });
    });

    it('merges the data of a recipient’s group', async () => {
      const receipt = await app.mail.sendBulk({
        subject: 'From {{company}}',
        text: '{{footer.line}}',
        groups: { acme: { company: 'Acme', footer: { line: 'Main St' } }, unused: { company: 'None' } },
        recipients: [
          { to: 'a@readers.test', group: 'acme', context: { company: 'Mine' } },
          { to: 'b@readers.test', group: 'acme' },
        ],
      });
      await completed(receipt.id);
      const subjects = await Promise.all(smtp.received.map(async ({ raw }) => (await parse(raw)).subject));
      expect(subjects.sort()).toEqual(['From Acme', 'From Mine']);
    });

    it('stores a shared attachment once and sends it with every mail', async () => {
      const content = Buffer.alloc(200_000, 'attachment ');
      const receipt = await app.mail.sendBulk({
        subject: 'x',
        text: 'x',
        attachments: [{ filename: 'a.txt', content }],
        recipients: people.slice(0, 120),
      });
      await completed(receipt.id);
      expect(smtp.received).toHaveLength(120);
      const mail = await parse(smtp.received[119]!.raw);
      expect(mail.attachments[0]!.content.equals(content)).toBe(true);
    });
  });

  it('loses nothing and spends no attempt while the mail server is down', async () => {
    await smtp.stop();
    const receipt = await app.mail.sendBulk({
      subject: 'x',
      text: 'x',
      recipients: Array.from({ length: 100 }, (_, n) => ({ to: `down${n}@readers.test` })),
    });
    await eventually(async () => expect((await app.mail.campaign(receipt.id))?.lastError).toMatch(/ECONNREFUSED/));
    await smtp.resume();
    await completed(receipt.id);
    expect(smtp.received).toHaveLength(100);
    for await (const failure of app.mail.failures(receipt.id)) expect(failure).toBeUndefined();
    expect(await app.mail.campaign(receipt.id)).toMatchObject({ sent: 100, failed: 0, deferred: 0 });
  });

  it('answers undefined for what it does not know', async () => {
    expect(await app.mail.status('m_unknown.0')).toBeUndefined();
    expect(await app.mail.status('nonsense')).toBeUndefined();
    expect(await app.mail.campaign('unknown')).toBeUndefined();
  });

  it('records what became of a priority mail', async () => {
    const receipt = await app.mail.send({ to: 'p@readers.test', subject: 'x', text: 'x' });
    const status = await settled(receipt.id);
    expect(status).toMatchObject({ lane: 'priority', messageId: receipt.messageId, transport: 'main' });
  });
});
