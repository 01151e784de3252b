import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MailDeliveryError, MailValidationError } from '../../src/errors.js';
import { keyedId } from '../../src/message/ids.js';
import type { MailMessageInput } from '../../src/message/message.js';
import type { MailReceipt } from '../../src/nest/sender.js';
import { QUICK_RETRY, startMail, type MailApp, type MailAppOptions } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

onEveryStore((store) => {
  let connection: string;
  let smtp: TestSmtpServer;
  let line: TcpProxy;
  let app: MailApp;
  let refuse: (address: string) => Refusal | undefined;
  /** A message to `held` waits here. */
  let gate: Promise<void>;
  let open: () => void;
  let waiting: number;
  let number = 0;

  beforeAll(async () => {
    connection = await store.create();
    smtp = await startSmtpServer({
      onRcpt: (address) => refuse(address),
      onData: async ({ to }) => {
        if (!to[0]!.startsWith('held')) return;
        waiting++;
        await gate;
      },
    });
    line = await startTcpProxy(smtp.port);
    await restart();
  });
  beforeEach(() => {
    number++;
    waiting = 0;
    gate = new Promise((resolve) => (open = resolve));
    refuse = () => undefined;
    smtp.clear();
  });

  const restart = async (options: MailAppOptions = {}): Promise<void> => {
    await app?.close();
    app = await startMail({ smtp: `smtp://127.0.0.1:${line.port}`, queue: { connection }, ...options });
  };
  /** The same key all through one test. */
  const key = (): string => `order ${number}`;
  const send = (more: Partial<MailMessageInput> = {}): Promise<MailReceipt> =>
    app.mail.send({ to: 'ann@readers.test', subject: 'Your order', text: 'x', idempotencyKey: key(), ...more });
  const failure = async (sending: Promise<unknown>): Promise<MailDeliveryError> => {
    const error = await sending.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MailDeliveryError);
    return error as MailDeliveryError;
  };
  const stateIs = (id: string, state: string): Promise<void> =>
    eventually(async () => expect((await app.mail.status(id))?.state).toBe(state), { within: 20_000 });
  /** Sends one whose answer is lost. */
  const lose = async (): Promise<MailDeliveryError> => {
    const cut = line.cutAfter('\r\n.\r\n');
    const error = await failure(send());
    await cut;
    await eventually(() => expect(smtp.received).toHaveLength(1));
    return error;
  };

  describe('the same idempotencyKey', { timeout: 90_000 }, () => {
    it('gives the first receipt again, in the same and the other lane, and sends nothing', async () => {
      const first = await send();
      expect(first).toMatchObject({ status: 'sent', id: keyedId(key()), messageId: `<${keyedId(key())}@shop.test>` });
      expect((await parse(smtp.received[0]!.raw)).messageId).toBe(first.messageId);
      expect(await send()).toStrictEqual(first);
      expect(await send({ lane: 'bulk', to: 'bob@readers.test' })).toStrictEqual(first);
      await restart();
      expect(await send()).toStrictEqual(first);
      expect(await send({ lane: 'bulk' })).toStrictEqual(first);
      expect(smtp.received).toHaveLength(1);
      expect(await app.mail.status(first.id)).toMatchObject({ state: 'sent', lane: 'priority' });
    });

    it('makes one batch of the bulk lane, and no priority mail', async () => {
      await app.mail.pause();
      const first = await send({ lane: 'bulk' });
      expect(first).toMatchObject({ status: 'queued', id: keyedId(key()), messageId: `<${keyedId(key())}@shop.test>` });
      expect(await send({ lane: 'bulk' })).toStrictEqual(first);
      expect(await send()).toStrictEqual(first);
      await restart();
      expect(await send()).toStrictEqual(first);
      expect(await app.mail.queue()).toMatchObject({ batches: { waiting: 1 } });
      await app.mail.resume();
      await stateIs(first.id, 'sent');
      expect(await send({ lane: 'bulk' })).toStrictEqual(first);
      expect((await parse(smtp.received[0]!.raw)).messageId).toBe(first.messageId);
      expect(smtp.received).toHaveLength(1);
    });

    it('waits for the first while that is under way', async () => {
      const first = send({ to: 'held@readers.test' });
      await eventually(() => waiting === 1);
      const others = [send({ to: 'held@readers.test' }), send({ lane: 'bulk' })];
      open();
      for (const other of others) expect(await other).toStrictEqual(await first);
      expect(smtp.received).toHaveLength(1);
    });

    it('fails with the first while that is under way, and sends again after it', async () => {
      refuse = () => ({ code: 451, text: '4.3.0 try later' });
      const [one, other] = await Promise.all([failure(send()), failure(send())]);
      expect(other).toBe(one);
      refuse = () => undefined;
      expect(await send()).toMatchObject({ status: 'sent' });
    });

    it('may be used again when the mail was surely not sent', async () => {
      refuse = () => ({ code: 550, text: '5.1.1 no such user' });
      const error = await failure(send());
      expect(error).toMatchObject({ id: keyedId(key()), outcome: 'not-sent', attempts: [{ replyCode: 550 }] });
      await stateIs(error.id, 'failed');
      refuse = () => undefined;
      const receipt = await send();
      expect(receipt).toMatchObject({ status: 'sent', id: error.id });
      await stateIs(receipt.id, 'sent');
      expect(await send()).toStrictEqual(receipt);
      expect(smtp.received).toHaveLength(1);
    });

    it('is not free after a mail that may have been sent, until retryUnknown sends it again', async () => {
      const lost = await lose();
      expect(lost).toMatchObject({ outcome: 'unknown', attempts: [{ transport: 'main', outcome: 'unknown' }] });
      for (const lane of ['priority', 'bulk'] as const) {
        const again = await failure(send({ lane }));
        expect(again).toMatchObject({ id: lost.id, outcome: 'unknown', attempts: lost.attempts });
        expect(again.message).toMatch(/ended without an answer, and may have sent it\. .*main at/);
      }
      await restart();
      expect(await failure(send())).toMatchObject({ outcome: 'unknown', attempts: lost.attempts });
      expect(smtp.received).toHaveLength(1);

      await restart({ priority: { retryUnknown: true } });
      const receipt = await send();
      expect(receipt).toMatchObject({ status: 'sent', id: lost.id });
      expect(await send()).toStrictEqual(receipt);
      const ids = await Promise.all(smtp.received.map(async ({ raw }) => (await parse(raw)).messageId));
      expect(ids).toEqual([receipt.messageId, receipt.messageId]);
    });
  });

  it('different keys are different mails', async () => {
    const receipts = await Promise.all(['a', 'A', 'a ', key()].map((idempotencyKey) => send({ idempotencyKey })));
    expect(new Set(receipts.map(({ id }) => id)).size).toBe(4);
    expect(smtp.received).toHaveLength(4);
    const queue = app.context.get<Queue>(getQueueToken('mail'));
    const bulk = await Promise.all(
      ['c', 'd'].map((idempotencyKey) => send({ lane: 'bulk', idempotencyKey, subject: 'The same meta' })),
    );
    for (const { id } of bulk) expect(await queue.getJob(id)).toMatchObject({ data: { items: [expect.anything()] } });
  });

  it('a wrong message does not use its key up', async () => {
    await expect(send({ to: 'nobody' })).rejects.toBeInstanceOf(MailValidationError);
    await expect(send({ delay: '1h' })).rejects.toBeInstanceOf(MailValidationError);
    expect(await send()).toMatchObject({ status: 'sent' });
  });

  describe('after idempotencyTtl the same key', { timeout: 90_000 }, () => {
    beforeAll(() => restart({ idempotencyTtl: '1s', queue: { connection, retry: { ...QUICK_RETRY, attempts: 100 } } }));

    it.each(['priority', 'bulk'] as const)('sends again on the %s lane', async (lane) => {
      const first = await send({ lane });
      await stateIs(first.id, 'sent');
      await eventually(async () => {
        expect(await send({ lane })).toMatchObject({ id: first.id, messageId: first.messageId });
        // Three, when the second's time has passed as well.
        expect(smtp.received.length).toBeGreaterThanOrEqual(2);
      });
    });

    it('leaves a bulk mail alone that is still under way', async () => {
      refuse = (address) => (address.startsWith('later') ? { code: 451, text: '4.3.0 try later' } : undefined);
      const message = { lane: 'bulk', to: ['now@readers.test', 'later@readers.test'] } as const;
      const first = await send(message);
      const forgottenAt = Date.now() + 1_100;
      await eventually(() => expect(smtp.received).toHaveLength(1));
      await eventually(() => Date.now() > forgottenAt);
      expect(await send(message)).toStrictEqual(first);
      refuse = () => undefined;
      await stateIs(first.id, 'sent');
      expect(smtp.received.map(({ to }) => to)).toEqual([['now@readers.test'], ['later@readers.test']]);
    });
  });
});
