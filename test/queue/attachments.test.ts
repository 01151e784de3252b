import { getQueueToken } from '@nestjs/bullmq';
import { Logger } from '@nestjs/common';
import type { Job, Queue } from 'bullmq';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Attachments, HELD } from '../../src/attachments/attachments.js';
import { MailConfigError, MailDeliveryError, MailError } from '../../src/errors.js';
import type { RecipientInput } from '../../src/message/message.js';
import { MailWorker } from '../../src/nest/mail-worker.js';
import { OUTSIDE_VERSION } from '../../src/queue/batch-format.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { startMail, type MailApp, type MailAppOptions } from '../support/app.js';
import { attachmentsOf, blobsIn } from '../support/attachment-stores.js';
import { freePort } from '../support/free-port.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { lookInto } from '../support/stored.js';
import { STORES } from '../support/stores.js';
import { temporaryFolder } from '../support/temp.js';

const encryptionKey = randomBytes(32).toString('base64');
const file = randomBytes(2_000);
const letter = { lane: 'bulk', to: 'ann@readers.test', subject: 'x', text: 'x' } as const;
const invoice = { ...letter, attachments: [{ filename: 'invoice.pdf', content: file }] } as const;
const people = (from: number, to: number): RecipientInput[] =>
  Array.from({ length: to - from }, (_, n) => ({ to: `r${from + n}@readers.test` }));

interface Lane extends MailApp {
  mailbox: Mailbox;
  /** Delivers all that is due. */
  deliver(): Promise<unknown>;
  jobOf(id: string): Promise<Job>;
}

/** A lane whose queue is worked on when the test says so. */
async function start(options: MailAppOptions): Promise<Lane> {
  const mailbox = new Mailbox();
  const queue = { worker: { autorun: false }, batch: { size: 2 }, ...options.queue };
  const app = await startMail({ transports: [mailbox], ...options, queue });
  const { context } = app;
  return {
    ...app,
    mailbox,
    deliver: () => context.get(MailWorker).runUntil({ empty: true, deadline: '20s' }),
    jobOf: async (id) => (await context.get<Queue>(getQueueToken('mail')).getJob(id.replace(/\.\d+$/, '')))!,
  };
}

/** Whether nothing is swept from the attachment store. */
function isHeld(connection: string): Promise<boolean> {
  return lookInto(connection, async ({ records }) => (await records.get([HELD]))[0] !== undefined);
}

afterEach(() => vi.restoreAllMocks());

// The embedded store's statements are PostgreSQL's.
describe.each(STORES.filter(({ name }) => name !== 'embedded'))('on $name', (store) => {
  it('keeps what is too large for a job beside the queue, for all who read it', async () => {
    const sealed = store.name === 'postgres';
    const connection = await store.create();
    const lane = await start({ queue: { connection, ...(sealed ? { encryptionKey } : {}) } });
    const { mail, mailbox } = lane;
    const text = `${'é'.repeat(700_000)}.`;
    const single = await mail.send({ ...letter, text });
    const small = await mail.send({ ...letter, text: 'small' });
    const job = (await lane.jobOf(single.id)).data as { v: number };
    expect(job.v).toBe(OUTSIDE_VERSION);
    expect(JSON.stringify(job).length).toBeLessThan(1_000);
    expect(((await lane.jobOf(small.id)).data as { v: number }).v).not.toBe(OUTSIDE_VERSION);
    expect((await mail.status(single.id))!.recipients[0]!.address).toBe('ann@readers.test');

    const campaign = {
      id: 'large',
      subject: 'x',
      html: `<p>{{to}}${'y'.repeat(1_100_000)}</p>`,
      missingFields: 'empty',
    } as const;
    function* failing(): Iterable<RecipientInput> {
      yield* people(0, 3);
      throw new Error('The source is gone');
    }
    await expect(mail.sendBulk({ ...campaign, recipients: failing() })).rejects.toMatchObject({ queued: 2 });
    expect(await mail.sendBulk({ ...campaign, recipients: people(0, 5) })).toMatchObject({ queued: 3, duplicates: 2 });
    await lane.deliver();
    expect(await mail.campaign('large')).toMatchObject({ state: 'completed', sent: 5 });
    const { received } = mailbox;
    expect(received).toHaveLength(7);
    for (const { to } of people(0, 5)) expect(mailbox.to(to as string)[0]!.raw.length).toBeGreaterThan(1_100_000);
    const [letters] = [mailbox.to('ann@readers.test')];
    expect((await Promise.all(letters.map(({ raw }) => parse(raw)))).map((one) => one.text?.trim())).toContain(text);
    await lane.close();
  });
});

describe('a blob that is not to be had', () => {
  let connection: string;
  beforeAll(async () => (connection = (await startRedis()).url));

  it.each([
    ['an attachment', invoice],
    ['the content of a large batch', { ...letter, text: 'y'.repeat(1_100_000) }],
  ])('%s makes its batch wait, and is never left out', async (what, message) => {
    const onError = vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
    const lane = await start({ queue: { connection, retry: { firstPause: 50, maxPause: 50 } } });
    const place = attachmentsOf(connection);
    const { id } = await lane.mail.send(message);
    const [blob] = await blobsIn(place);
    const bytes = await buffer((await place.read(blob!))!);
    await place.delete([blob!]);
    await lane.deliver();
    expect(await isHeld(connection)).toBe(false);
    expect(lane.mailbox.received).toEqual([]);
    expect((await lane.mail.queue()).batches).toMatchObject({ delayed: 1, setAside: 0 });
    const outside = what !== 'an attachment';
    expect((await lane.mail.status(id))?.state).toBe(outside ? undefined : 'queued');
    if (outside)
      expect(onError.mock.calls.flat().join()).toMatch(/A batch: its content is not in the attachment store/);
    await place.write(blob!, Readable.from([bytes], { objectMode: false }), bytes.length);
    await (await lane.jobOf(id)).promote();
    await lane.deliver();
    expect((await lane.mail.status(id))?.state).toBe('sent');
    expect(lane.mailbox.received[0]!.raw.replace(/=?\r\n/g, '')).toContain(
      outside ? 'y'.repeat(500) : file.toString('base64').replace(/=+$/, ''),
    );
    await place.delete(await blobsIn(place));
    await lane.close();
  });

  it('of a campaign is said in its report, and nothing of it can be continued or retried meanwhile', async () => {
    vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
    const lane = await start({ queue: { connection } });
    const large = { id: 'lost', subject: 'x', html: 'y'.repeat(1_100_000), recipients: people(0, 2) };
    await lane.mail.sendBulk(large);
    const place = attachmentsOf(connection);
    await place.delete(await blobsIn(place));
    await lane.deliver();
    expect((await lane.mail.campaign('lost'))?.lastError).toMatch(/^Batch lost-\d: its content is not in/);
    await expect(lane.mail.retryFailed('lost')).rejects.toMatchObject({
      code: 'PAYLOAD_UNAVAILABLE',
      permanent: false,
    });
    await lane.close();
  });

  it('because the worker has another disk waits for a worker that has the right one', async () => {
    const onError = vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
    const web = await start({ queue: { connection } });
    const { id } = await web.mail.send(invoice);
    const large = await web.mail.send({ ...letter, text: 'y'.repeat(1_100_000) });
    const store = pathToFileURL(temporaryFolder('attachments')).href;
    for (const attachments of [{ store }, { store: undefined } as object]) {
      onError.mockClear();
      const stranger = await start({ queue: { connection, retry: { firstPause: 50, maxPause: 50 } }, attachments });
      await stranger.deliver();
      expect(stranger.mailbox.received).toEqual([]);
      expect(onError.mock.calls.flat().join()).toMatch(/attachments\.store/);
      await stranger.close();
      for (const one of [id, large.id]) await (await web.jobOf(one)).promote();
    }
    // Nobody knows what the large one needs.
    expect(await isHeld(connection)).toBe(true);
    await web.deliver();
    for (const one of [id, large.id]) expect((await web.mail.status(one))?.state).toBe('sent');
    await web.close();
  });
});

describe('what one message needs of the attachment store', () => {
  let connection: string;
  beforeAll(async () => (connection = (await startRedis()).url));

  it('fails nobody else when that lacks it', async () => {
    const lane = await start({ queue: { connection } });
    const file = (content: string): object => ({ ...letter, attachments: [{ filename: 'a.txt', content }] });
    const send = (content: string): Promise<unknown> => lane.mail.send(file(content) as typeof letter);
    let goOn = (): void => undefined;
    const busy = new Promise<void>((resolve) => (goOn = resolve));
    const gone = new MailError('It is gone', { permanent: false, code: 'ATTACHMENT_GONE' });
    const lost = 'gone';
    const name = createHash('sha256').update(lost).digest('hex');
    const lease = vi.spyOn(Attachments.prototype, 'lease').mockReturnValueOnce(busy);
    lease.mockImplementation((blobs) =>
      [...blobs.keys()].some((blob) => blob.includes(name)) ? Promise.reject(gone) : Promise.resolve(),
    );
    const keep = vi.spyOn(Attachments.prototype, 'keep');
    // What comes while one is being written is written together.
    const sent = [send('first')];
    await vi.waitFor(() => expect(lease).toHaveBeenCalled());
    sent.push(...[lost, 'last'].map(send));
    await vi.waitFor(() => expect(keep.mock.settledResults.filter(({ type }) => type === 'fulfilled')).toHaveLength(3));
    goOn();
    const [first, refused, last] = await Promise.allSettled(sent);
    expect(refused).toEqual({ status: 'rejected', reason: gone });
    for (const one of [first, last]) expect(one).toMatchObject({ status: 'fulfilled', value: { status: 'queued' } });
    await lane.close();
  });

  it('holds up nobody else while that does not answer', async () => {
    const store = attachmentsOf(connection);
    let goOn = (): void => undefined;
    const silence = new Promise<void>((resolve) => (goOn = resolve));
    const write = vi.spyOn(store, 'write').mockReturnValue(silence);
    const lane = await start({ queue: { connection }, attachments: { store } });
    const large = lane.mail.send({ ...letter, text: 'y'.repeat(1_100_000) });
    await vi.waitFor(() => expect(write).toHaveBeenCalled());
    for (let n = 0; n < 3; n++) expect(await lane.mail.send(letter)).toMatchObject({ status: 'queued' });
    goOn();
    expect(await large).toMatchObject({ status: 'queued' });
    await lane.close();
  });
});

describe('without attachments.store on a store that others may share', () => {
  it('mail with an attachment is refused with the option that is missing, and all other mail is taken', async () => {
    const { url: connection } = await startRedis();
    const none = { attachments: { store: undefined } as object, queue: { connection } };
    const lane = await start(none);
    const { mail } = lane;
    const { attachments } = invoice;
    const missing: unknown = expect.objectContaining({
      message: expect.stringMatching(/attachments\.store is not set/) as string,
    });
    for (const refused of [
      mail.send(invoice),
      mail.collect(() => mail.send(invoice)),
      mail.sendBulk({ id: 'invoices', subject: 'x', text: 'x', attachments, recipients: people(0, 2) }),
    ]) {
      await expect(refused).rejects.toEqual(missing);
      await expect(refused).rejects.toThrow(MailConfigError);
    }
    expect(await mail.campaign('invoices')).toBeUndefined();
    await mail.send({ ...letter, text: 'y'.repeat(1_100_000) });
    await mail.send({ ...invoice, lane: 'priority' });
    await lane.deliver();
    expect(lane.mailbox.received).toHaveLength(2);
    await lane.close();

    const transports = [{ name: 'dead', url: `smtp://127.0.0.1:${await freePort()}` }];
    const over = await start({ ...none, transports, priority: { overflow: 'queue' } });
    const error = (await over.mail.send({ ...invoice, lane: 'priority' }).catch((reason: unknown) => reason)) as Error;
    expect(error).toBeInstanceOf(MailDeliveryError);
    expect(error.message).toMatch(/ECONNREFUSED.*Nor could it be queued:.*attachments\.store is not set/);
    expect(error).toMatchObject({ outcome: 'not-sent', permanent: false });
    await over.close();
  });
});
