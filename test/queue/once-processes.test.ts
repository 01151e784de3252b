import { beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { MailDeliveryError } from '../../src/errors.js';
import { keyedId } from '../../src/message/ids.js';
import type { MailMessageInput } from '../../src/message/message.js';
import { StoreClaims } from '../../src/queue/claims.js';
import type { Records } from '../../src/store/records.js';
import { UNSEALED } from '../../src/store/sealing.js';
import { startMail, type MailApp } from '../support/app.js';
import { spawnTs } from '../support/child.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { openQueueStore } from '../support/open-store.js';
import { startScriptedSmtp, type ScriptedAnswer, type ScriptedSmtp } from '../support/scripted-smtp.js';
import { STORES } from '../support/stores.js';

const mail = (idempotencyKey: string, more: Partial<MailMessageInput> = {}): MailMessageInput => ({
  to: 'ann@readers.test',
  subject: 'Your order',
  text: 'x',
  idempotencyKey,
  ...more,
});
const failure = async (sending: Promise<unknown>): Promise<MailDeliveryError> => {
  const error = await sending.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MailDeliveryError);
  return error as MailDeliveryError;
};

describe.each(STORES.filter(({ name }) => name !== 'embedded'))('two applications on $name', (store) => {
  let smtp: ScriptedSmtp;
  let one: MailApp;
  let other: MailApp;
  let records: Records;
  let answer: () => ScriptedAnswer | undefined | Promise<ScriptedAnswer | undefined>;

  beforeAll(async () => {
    smtp = await startScriptedSmtp({ message: () => answer() });
    const connection = await store.create();
    const start = () => startMail({ smtp: smtp.url, queue: { connection } });
    [one, other] = await Promise.all([start(), start()]);
    const sharing = await openQueueStore(connection);
    atEnd(() => sharing.close(1_000));
    await sharing.ready();
    records = sharing.records;
  });
  beforeEach(() => {
    answer = () => undefined;
    smtp.messages.length = 0;
  });

  /** Messages wait for their answer until this is called with it. */
  const hold = (): ((reply?: ScriptedAnswer) => void) => {
    let release: (reply?: ScriptedAnswer) => void = () => undefined;
    const held = new Promise<ScriptedAnswer | undefined>((resolve) => (release = resolve));
    answer = () => held;
    return release;
  };

  /** Until a key has been asked for so often from now on. */
  const asked = (): ((times: number) => Promise<boolean>) => {
    const asks = vi.spyOn(StoreClaims.prototype, 'claim');
    onTestFinished(() => asks.mockRestore());
    return (times) => eventually(() => asks.mock.calls.length >= times);
  };

  it('send the mail of one key once, whatever the lane', async () => {
    const first = await one.mail.send(mail('both'));
    await eventually(async () => expect(await other.mail.send(mail('both'))).toStrictEqual(first));
    expect(await other.mail.send(mail('both', { lane: 'bulk' }))).toStrictEqual(first);
    const queued = await other.mail.send(mail('both later', { lane: 'bulk' }));
    expect(await one.mail.send(mail('both later'))).toStrictEqual(queued);
    await eventually(async () => expect((await one.mail.status(queued.id))?.state).toBe('sent'));
    expect(smtp.messages).toHaveLength(2);
  });

  it('wait for each other while the mail is under way', async () => {
    const release = hold();
    const first = one.mail.send(mail('under way'));
    await eventually(() => smtp.messages.length === 1);
    const until = asked();
    const second = other.mail.send(mail('under way', { lane: 'bulk' }));
    await until(2);
    release();
    expect(await second).toStrictEqual(await first);
    expect(smtp.messages).toHaveLength(1);
  });

  it('hand the key on when the first was surely not sent', async () => {
    const release = hold();
    const first = failure(one.mail.send(mail('handed on')));
    await eventually(() => smtp.messages.length === 1);
    const until = asked();
    const second = other.mail.send(mail('handed on'));
    await until(2);
    answer = () => undefined;
    release('452 4.3.1 no room');
    expect(await first).toMatchObject({ outcome: 'not-sent' });
    const receipt = await second;
    expect(receipt).toMatchObject({ status: 'sent', id: keyedId('handed on') });
    expect(await one.mail.send(mail('handed on'))).toStrictEqual(receipt);
    const ids = smtp.messages.map((message) => /^Message-ID: (.*)$/im.exec(message)![1]);
    expect(ids).toEqual([receipt.messageId, receipt.messageId]);
  });

  it('both hold back a mail that may have been sent', async () => {
    answer = () => 'drop';
    const first = await failure(one.mail.send(mail('lost')));
    expect(first).toMatchObject({ outcome: 'unknown', attempts: [{ phase: 'body', outcome: 'unknown' }] });
    for (const app of [one, other]) {
      for (const lane of ['priority', 'bulk'] as const) {
        const error = await failure(app.mail.send(mail('lost', { lane })));
        expect(error).toMatchObject({ id: first.id, outcome: 'unknown', attempts: first.attempts });
      }
    }
    expect(smtp.messages).toHaveLength(1);
  });

  it('queue what a dead process was queueing, and do not send what it was sending', async () => {
    const claims = new StoreClaims(records, 60_000, UNSEALED);
    const dead = { state: 'claimed', owner: 'a process that died', until: Date.now() - 1 } as const;
    await claims.claim(keyedId('queueing'), { ...dead, lane: 'bulk' });
    await claims.claim(keyedId('sending'), { ...dead, lane: 'priority' });
    expect(await failure(one.mail.send(mail('queueing')))).toMatchObject({ outcome: 'unknown', attempts: [] });
    const queued = await one.mail.send(mail('queueing', { lane: 'bulk' }));
    expect(queued).toMatchObject({ status: 'queued', id: keyedId('queueing') });
    await eventually(async () => expect(await other.mail.send(mail('queueing'))).toStrictEqual(queued));
    for (const lane of ['priority', 'bulk'] as const) {
      expect(await failure(one.mail.send(mail('sending', { lane })))).toMatchObject({ outcome: 'unknown' });
    }
    await eventually(async () => expect((await one.mail.status(queued.id))?.state).toBe('sent'));
    expect(smtp.messages).toHaveLength(1);
  });

  it('race for a key, and one of them sends', async () => {
    const keys = Array.from({ length: 20 }, (_, n) => `race ${n}`);
    const sends = keys.flatMap((key) => [one, other, one, other].map((app) => app.mail.send(mail(key))));
    const receipts = await Promise.all(sends);
    expect(new Set(receipts.map((receipt) => JSON.stringify(receipt))).size).toBe(20);
    expect(smtp.messages).toHaveLength(20);
  });
});

describe.each(STORES)('a process killed in the middle of a send, on $name', (store) => {
  it('may have sent it: nobody does again, unless told to', async () => {
    const smtp = await startScriptedSmtp({ message: (_, connection) => (connection === 1 ? 'hang' : undefined) });
    const options = {
      from: 'Shop <no-reply@shop.test>',
      transports: [{ name: 'main', url: smtp.url }],
      queue: { connection: await store.create() },
    };
    const child = spawnTs(new URL('./once-process.ts', import.meta.url), [
      JSON.stringify({ ...options, priority: { timeout: '10m' } }),
      JSON.stringify(mail('killed')),
    ]);
    await eventually(() => smtp.messages.length === 1, { within: 60_000 });
    await child.kill('SIGKILL');

    const impatient = await startMail({ ...options, priority: { timeout: '1s' } });
    const waited = await failure(impatient.mail.send(mail('killed')));
    expect(waited).toMatchObject({ id: keyedId('killed'), outcome: 'unknown', permanent: false, attempts: [] });
    expect(waited.message).toMatch(/is still under way/);

    // The claim ends a while after the send must have.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
    onTestFinished(() => void vi.useRealTimers());
    for (const lane of ['priority', 'bulk'] as const) {
      const interrupted = await failure(impatient.mail.send(mail('killed', { lane })));
      expect(interrupted).toMatchObject({ id: keyedId('killed'), outcome: 'unknown', attempts: [] });
      expect(interrupted.message).toMatch(/was interrupted, and may have sent it/);
    }
    expect(smtp.messages).toHaveLength(1);
    await impatient.close();

    const bold = await startMail({ ...options, priority: { retryUnknown: true } });
    const receipt = await bold.mail.send(mail('killed'));
    expect(receipt).toMatchObject({ status: 'sent', id: keyedId('killed') });
    expect(await bold.mail.send(mail('killed'))).toStrictEqual(receipt);
    const ids = smtp.messages.map((message) => /^Message-ID: (.*)$/im.exec(message)![1]);
    expect(ids).toEqual([receipt.messageId, receipt.messageId]);
    await bold.close();
  }, 180_000);
});
