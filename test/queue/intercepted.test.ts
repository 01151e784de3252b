import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import type { InterceptedMail } from '../../src/delivery/intercepted-mail.js';
import { InterceptorError, Veto } from '../../src/delivery/interception.js';
import type { Interceptor } from '../../src/delivery/interceptors.js';
import type { Lane } from '../../src/message/message.js';
import type { MailStatus } from '../../src/queue/status.js';
import { QUICK_RETRY, startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse, type ParsedMessage } from '../support/parse.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';

onEveryStore((store) => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let refuse: (address: string) => Refusal | undefined;
  let intercept: Interceptor;
  let asked: InterceptedMail[];

  beforeAll(async () => {
    smtp = await startSmtpServer({ onRcpt: (address) => refuse(address) });
    const retry = { ...QUICK_RETRY, attempts: 2 };
    app = await startMail({
      smtp: smtp.url,
      priority: { overflow: 'queue' },
      queue: { connection: await store.create(), retry },
      intercept: function guard(mail) {
        asked.push(mail);
        return intercept(mail);
      },
    });
  });
  beforeEach(() => {
    smtp.clear();
    asked = [];
    refuse = () => undefined;
    intercept = () => undefined;
  });

  const send = (lane: Lane, extra: object = {}) =>
    app.mail.send({ lane, to: 'ann@readers.test', subject: 'Hello', text: 'Hello', ...extra });
  const settled = (id: string, state: MailStatus['state']): Promise<MailStatus> =>
    eventually(async () => {
      const status = await app.mail.status(id);
      expect(status?.state).toBe(state);
      return status!;
    });
  const received = (): Promise<ParsedMessage[]> => Promise.all(smtp.received.map(({ raw }) => parse(raw)));

  it.each<Lane>(['priority', 'bulk'])('changes a message of the %s lane, its Message-ID kept', async (lane) => {
    intercept = ({ subject }) => ({ subject: `[test] ${subject}`, to: 'qa@shop.test', headers: { 'X-Was': 'ann' } });
    const { id, messageId } = await send(lane);
    await settled(id, 'sent');
    expect(smtp.received.map(({ to }) => to)).toEqual([['qa@shop.test']]);
    expect(await received()).toMatchObject([{ subject: '[test] Hello', messageId, headers: { 'x-was': 'ann' } }]);
    expect(asked).toMatchObject([{ id, messageId, lane, to: [{ address: 'ann@readers.test' }], text: 'Hello' }]);
  });

  it('vetoes', async () => {
    intercept = () => false;
    const veto: unknown = await send('priority').catch((error: unknown) => error);
    expect(veto).toBeInstanceOf(Veto);
    await settled((veto as Veto).id, 'cancelled');
    const { id } = await send('bulk');
    expect((await settled(id, 'cancelled')).recipients).toMatchObject([
      { address: 'ann@readers.test', state: 'cancelled' },
    ]);
    expect(smtp.received).toEqual([]);
  });

  it('counts and tells the same of a priority mail as its status says, by its own recipients', async () => {
    const told: unknown[] = [];
    for (const name of ['sent', 'cancelled', 'failed']) {
      const listen = (event: unknown): void => void told.push({ name, ...(event as object) });
      subscribe(`nestjs-priority-mail:${name}`, listen);
      onTestFinished(() => void unsubscribe(`nestjs-priority-mail:${name}`, listen));
    }
    const counts = async () => (await app.mail.stats({ since: '1h' })).lanes.priority;
    const before = await counts();
    intercept = () => false;
    await expect(send('priority')).rejects.toBeInstanceOf(Veto);
    intercept = () => ({ to: 'qa@shop.test', cc: [] });
    const { id } = await send('priority', { cc: 'bob@readers.test' });
    const recipients = ['ann@readers.test', 'bob@readers.test'];
    expect(told).toMatchObject([
      { name: 'cancelled', lane: 'priority', recipients: ['ann@readers.test'] },
      { name: 'sent', id, recipients },
    ]);
    const { sent, failed, cancelled } = await counts();
    expect({ sent, failed, cancelled }).toEqual({
      ...{ sent: before.sent + 2, failed: before.failed, cancelled: before.cancelled + 1 },
    });
    expect((await settled(id, 'sent')).recipients.map(({ address }) => address)).toEqual(recipients);
  });

  it('that fails ends a priority mail, and spends an attempt of a bulk mail', async () => {
    intercept = () => Promise.reject(new Error('the list is away'));
    const failure: unknown = await send('priority').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InterceptorError);
    const reply = expect.stringContaining('intercept: guard failed: the list is away') as string;
    expect(await settled((failure as InterceptorError).id, 'failed')).toMatchObject({ attempts: 0, reply });
    const { id } = await send('bulk');
    expect(await settled(id, 'failed')).toMatchObject({ attempts: 2, reply });

    const patient = await send('bulk');
    await eventually(() => expect(asked.filter((mail) => mail.id === patient.id)).not.toEqual([]));
    intercept = () => undefined;
    await settled(patient.id, 'sent');
    intercept = () => ({ subject: 'a\r\nb' });
    expect(await settled((await send('bulk')).id, 'failed')).toMatchObject({ attempts: 1 });
    expect(smtp.received).toHaveLength(1);
  });

  it('looks at each message of a campaign, and those it leaves alone are merged as ever', async () => {
    intercept = ({ subject, to: [to] }) => {
      if (subject.endsWith('Vera')) return false;
      return subject.endsWith('Ann') ? { text: `For ${to!.address}`, from: 'Other <other@shop.test>' } : undefined;
    };
    const names = ['Ann', 'Bob', 'Vera'];
    const { id } = await app.mail.sendBulk({
      subject: 'News for {{name}}',
      text: 'Hello {{name}}',
      headers: { 'X-For': '{{name}}' },
      recipients: names.map((name) => ({ to: `${name.toLowerCase()}@readers.test`, context: { name } })),
    });
    await eventually(async () => {
      expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed', sent: 2, cancelled: 1 });
    });
    const mails = (await received()).sort((a, b) => a.subject!.localeCompare(b.subject!));
    expect(
      mails.map(({ subject, text, from, headers }) => [subject, text?.trim(), from?.address, headers['x-for']]),
    ).toEqual([
      ['News for Ann', 'For ann@readers.test', 'other@shop.test', 'Ann'],
      ['News for Bob', 'Hello Bob', 'no-reply@shop.test', 'Bob'],
    ]);
    expect(asked.map(({ campaignId }) => campaignId)).toEqual([id, id, id]);
  });

  it('sends other recipients’ answers to those they stand for', async () => {
    intercept = () => ({ to: 'qa@shop.test', cc: [] });
    refuse = () => ({ code: 550, text: '5.1.1 No such user' });
    const { id } = await send('bulk', { cc: 'bob@readers.test' });
    const { recipients } = await settled(id, 'failed');
    expect(recipients).toMatchObject([
      { address: 'ann@readers.test', state: 'failed', replyCode: 550 },
      { address: 'bob@readers.test', state: 'failed', replyCode: 550 },
    ]);
  });

  it('sends nobody a second mail when a recipient is added and another one deferred', async () => {
    let deferrals = 0;
    refuse = (address) =>
      address.startsWith('bob') && deferrals++ === 0 ? { code: 450, text: '4.2.0 later' } : undefined;
    intercept = () => ({ bcc: 'archive@shop.test' });
    const { id } = await send('bulk', { cc: 'bob@readers.test' });
    await settled(id, 'sent');
    expect(smtp.received.map(({ to }) => to)).toEqual([
      ['ann@readers.test', 'archive@shop.test'],
      ['bob@readers.test', 'archive@shop.test'],
    ]);
  });

  it('is shown a mail that goes over to the queue as it was handed over', async () => {
    let refusals = 0;
    refuse = () => (refusals++ === 0 ? { code: 451, text: '4.3.0 not now' } : undefined);
    intercept = ({ subject }) => ({ subject: `! ${subject}` });
    const { id, status } = await send('priority');
    expect(status).toBe('queued');
    await settled(id, 'sent');
    expect(asked.map(({ lane, subject }) => [lane, subject])).toEqual([
      ['priority', 'Hello'],
      ['bulk', 'Hello'],
    ]);
    expect(await received()).toMatchObject([{ subject: '! Hello' }]);
  });
});
