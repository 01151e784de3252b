import { getQueueToken } from '@nestjs/bullmq';
import { Logger } from '@nestjs/common';
import type { Job, Queue } from 'bullmq';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { RecipientInput } from '../../src/message/message.js';
import type { SealedBatch } from '../../src/queue/batch-format.js';
import type { EncryptionKeyConfig, QueueConfig } from '../../src/nest/options/types.js';
import type { MailState } from '../../src/queue/status.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { onEveryStore } from '../support/stores.js';
import { everythingIn } from '../support/stored.js';

const key = (id: string): EncryptionKeyConfig => ({ id, key: randomBytes(32).toString('base64') });
const old = key('old');
const current = key('current');

const file = Buffer.from('The secret file of the house');
const letter = {
  lane: 'bulk',
  to: 'Ann <ann@secret.test>',
  subject: 'A secret subject',
  text: 'A secret body',
  attachments: [{ filename: 'secret.txt', content: file }],
} as const;
const campaign = {
  id: 'news',
  name: 'Readable name',
  subject: 'Secret news for {{name}}',
  html: '<p>Secret story from {{city}}</p>',
  groups: { g: { city: 'Secretville' } },
} as const;
const member = (n: number) => ({ to: `member${n}@secret.test`, context: { name: `Secret ${n}` }, group: 'g' });
const MEMBERS = Array.from({ length: 7 }, (_, n) => member(n));

/** As it is, or as an attachment lies in a store. */
const SECRET = new RegExp(`secret|${file.toString('base64').slice(0, 30)}`, 'i');

afterEach(() => vi.restoreAllMocks());

async function start(smtp: TestSmtpServer, queue: QueueConfig): Promise<MailApp> {
  return startMail({
    transports: [{ name: 'main', url: smtp.url }],
    queue: { batch: { size: 2 }, ...queue },
  });
}

const queueOf = (app: MailApp): Queue => app.context.get<Queue>(getQueueToken('mail'));
const reaches = (app: MailApp, id: string, state: MailState): Promise<unknown> =>
  eventually(async () => expect((await app.mail.status(id))?.state).toBe(state));

onEveryStore((store) => {
  let connection: string;
  let smtp: TestSmtpServer;
  let app: MailApp | undefined;
  let single: string;

  beforeAll(async () => {
    connection = await store.create();
    smtp = await startSmtpServer({
      onRcpt: (address) => (address.startsWith('member3@') ? { code: 550, text: '5.1.1 no such user' } : undefined),
    });
  });

  const restart = async (queue: QueueConfig): Promise<MailApp> => {
    await app?.close();
    return (app = await start(smtp, { connection, ...queue }));
  };
  /** All that the store has, by which its application has been closed. */
  const stored = async (): Promise<string> => {
    await app?.close();
    return everythingIn(connection);
  };

  it('keeps what waits unreadable: addresses, subjects, bodies, attachments and the way they go', async () => {
    const { mail } = await restart({ encryptionKey: old, worker: false });
    single = (await mail.send({ ...letter, transport: 'main' })).id;
    function* failing(): Iterable<RecipientInput> {
      yield* MEMBERS.slice(0, 3);
      throw new Error('The source is gone');
    }
    await expect(mail.sendBulk({ ...campaign, recipients: failing() })).rejects.toMatchObject({ queued: 2 });
    const keyed = { to: 'bob@secret.test', subject: 'Your secret', text: 'x', idempotencyKey: 'order 1' };
    const { id } = await mail.send(keyed);
    await reaches(app!, id, 'sent');
    expect((await mail.status(id))!.recipients[0]!.address).toBe('bob@secret.test');
    expect((await mail.status(single))!.recipients[0]!.address).toBe('ann@secret.test');
    await eventually(async () => expect(await mail.send(keyed)).toMatchObject({ id, accepted: ['bob@secret.test'] }));

    const text = await stored();
    expect(text.includes('Readable name') && text.includes('news-0')).toBe(true);
    expect(SECRET.exec(text)?.[0]).toBeUndefined();
  });

  it('waits for a key that it does not have, says so, and loses nothing', async () => {
    const error = vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
    smtp.clear();
    const { mail } = await restart({ encryptionKey: current });
    const remedy = /encrypted with the key "old".*queue\.encryptionKey.*Add it/;
    await eventually(async () => expect((await mail.campaign('news'))?.lastError).toMatch(remedy));
    expect(error.mock.calls.flat().join()).toMatch(remedy);
    expect(await mail.status(single)).toBeUndefined();
    expect(await mail.cancel(single)).toBe(false);
    await expect(mail.sendBulk({ ...campaign, recipients: MEMBERS })).rejects.toThrow(remedy);
    await expect(mail.retryFailed('news')).rejects.toThrow(remedy);
    await expect(mail.remaining('news')[Symbol.asyncIterator]().next()).rejects.toThrow(remedy);
    expect(smtp.received).toHaveLength(0);
    expect((await mail.queue()).batches).toMatchObject({ setAside: 0, finished: 0 });
  });

  it('delivers what an older key sealed, and continues its campaign without writing to anybody twice', async () => {
    const { mail } = await restart({ encryptionKey: [current, old] });
    const receipt = await mail.sendBulk({ ...campaign, recipients: MEMBERS });
    expect(receipt).toMatchObject({ queued: 5, duplicates: 2 });
    await eventually(async () => {
      expect(await mail.campaign('news')).toMatchObject({ state: 'completed', sent: 6, failed: 1 });
    });
    await reaches(app!, single, 'sent');
    const failures = [];
    for await (const { recipients } of mail.failures('news')) failures.push(recipients[0]!.address);
    expect(failures).toEqual(['member3@secret.test']);
    const letters = await Promise.all(smtp.received.map(({ raw }) => parse(raw)));
    expect(letters.map(({ to }) => to[0]!.address).sort()).toEqual(
      ['ann', ...[0, 1, 2, 4, 5, 6].map((n) => `member${n}`)].map((name) => `${name}@secret.test`),
    );
    expect(letters.find(({ subject }) => subject === 'A secret subject')!.attachments[0]!.content).toEqual(file);
    expect(letters.find(({ subject }) => subject === 'Secret news for Secret 1')!.html).toContain('Secretville');
  });

  it('sets a batch aside that was changed or exchanged in the store, and delivers nothing of it', async () => {
    const { mail } = app!;
    await mail.pause();
    smtp.clear();
    const [one, two] = await Promise.all(
      ['a@secret.test', 'b@secret.test'].map((to) => mail.send({ lane: 'bulk', to, subject: to, replyTo: to })),
    );
    const [first, second] = await Promise.all([jobOf(one!.id), jobOf(two!.id)]);
    const theirs = (second.data as SealedBatch).sealed;
    const mine = Buffer.from((first.data as SealedBatch).sealed, 'base64');
    mine[mine.length - 20]! ^= 1;
    await first.updateData({ ...(first.data as SealedBatch), sealed: mine.toString('base64') });
    await second.updateData({ ...(second.data as SealedBatch), id: (first.data as SealedBatch).id, sealed: theirs });
    await mail.resume();
    for (const id of [one!.id, two!.id]) {
      await eventually(async () => expect((await jobOf(id)).failedReason).toMatch(/cannot be decrypted/));
    }
    expect(smtp.received).toHaveLength(0);
    expect(await mail.status(one!.id)).toBeUndefined();
  });

  it('keeps what was delivered unreadable', async () => {
    expect(SECRET.exec(await stored())?.[0]).toBeUndefined();
  });

  const jobOf = async (id: string): Promise<Job> => (await queueOf(app!).getJob(id.replace(/\.\d+$/, '')))!;
});

it('takes up what was stored in the clear before there was a key, and what was sealed when there is none any more', async () => {
  const { url: connection } = await startRedis();
  const smtp = await startSmtpServer();
  const before = await start(smtp, { connection, worker: false });
  const { id } = await before.mail.send(letter);
  const priority = await before.mail.send({ ...letter, lane: 'priority', idempotencyKey: 'order 1' });
  await reaches(before, priority.id, 'sent');
  await before.close();
  expect(SECRET.test(await everythingIn(connection))).toBe(true);

  const error = vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
  const sealing = await start(smtp, { connection, encryptionKey: current });
  await reaches(sealing, id, 'sent');
  expect(await sealing.mail.send({ ...letter, lane: 'priority', idempotencyKey: 'order 1' })).toEqual(priority);
  expect((await sealing.mail.status(priority.id))!.recipients[0]!.address).toBe('ann@secret.test');
  await sealing.mail.pause();
  const sealed = await sealing.mail.send(letter);
  const paid = await sealing.mail.send({ ...letter, lane: 'priority', idempotencyKey: 'order 2' });
  await reaches(sealing, paid.id, 'sent');
  await sealing.close();

  const after = await start(smtp, { connection });
  await after.mail.resume();
  await eventually(() => expect(error.mock.calls.flat().join()).toContain('encrypted with the key "current"'));
  expect(await after.mail.status(sealed.id)).toBeUndefined();
  expect(await after.mail.status(paid.id)).toBeUndefined();
  const again = after.mail.send({ ...letter, lane: 'priority', idempotencyKey: 'order 2' });
  await expect(again).rejects.toMatchObject({
    outcome: 'unknown',
    message: expect.stringContaining('encryptionKey') as string,
  });
  expect((await after.mail.queue()).batches.setAside).toBe(0);
  await after.close();
});
