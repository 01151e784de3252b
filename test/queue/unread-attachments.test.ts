import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Attachments } from '../../src/attachments/attachments.js';
import { DiskAttachmentStore } from '../../src/attachments/disk-store.js';
import type { AttachmentInput, Lane } from '../../src/message/message.js';
import { Flusher } from '../../src/queue/flush.js';
import { startMail, type MailApp } from '../support/app.js';
import { attachmentsOf, blobsIn } from '../support/attachment-stores.js';
import { dkimKey, dkimResults } from '../support/dkim.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';

const MOST = 500_000;
const folder = temporaryFolder('files');
const file = randomBytes(110_000);
const key = dkimKey('mail', 'ed25519');

describe('attachments that are not at hand', () => {
  let smtp: TestSmtpServer;
  let app: MailApp;
  let redis: string;
  let refuse: () => Refusal | undefined;

  beforeAll(async () => {
    writeFileSync(join(folder, 'terms.pdf'), file);
    smtp = await startSmtpServer({ onRcpt: () => refuse() });
    redis = (await startRedis()).url;
    const { domainName, keySelector, pem: privateKey } = key;
    app = await startMail({
      transports: [{ name: 'main', url: smtp.url, dkim: { domainName, keySelector, privateKey } }],
      attachments: { allowedDir: folder },
      limits: { attachmentBytes: MOST },
      priority: { overflow: 'queue' },
      queue: { connection: redis, batch: { size: 5 }, worker: { batches: 4 } },
    });
  });
  beforeEach(() => {
    smtp.clear();
    refuse = () => undefined;
  });

  const send = (attachment: AttachmentInput, lane: Lane = 'bulk', more: object = {}) =>
    app.mail.send({
      lane,
      to: 'ann@readers.test',
      subject: 'Terms',
      text: 'Attached',
      attachments: [attachment],
      ...more,
    });
  const streamOf = (bytes: Buffer): Readable => Readable.from([bytes.subarray(0, 70_001), bytes.subarray(70_001)]);
  const stored = (): Promise<string[]> => blobsIn(attachmentsOf(redis));

  /** The files of the mails that have come, once there are so many, each of them with a signature that is good. */
  async function arrived(count: number): Promise<Buffer[]> {
    await eventually(() => expect(smtp.received).toHaveLength(count));
    const files: Buffer[] = [];
    for (const { raw } of smtp.received) {
      expect(await dkimResults(raw, key)).toEqual(['pass']);
      files.push(...(await parse(raw)).attachments.map(({ content }) => content));
    }
    return files;
  }

  it('are read from the store once for all batches of a campaign, whatever is merged', async () => {
    const reads = vi.spyOn(DiskAttachmentStore.prototype, 'read');
    const recipients = Array.from({ length: 20 }, (_, n) => ({ to: `r${n}@readers.test`, context: { n } }));
    const letter = { subject: 'Terms {{n}}', text: 'Hello {{n}}', html: '<p>{{n}}</p>' };
    await app.mail.sendBulk({ ...letter, recipients, attachments: [{ path: 'terms.pdf' }] });
    const files = await arrived(20);
    expect(files).toHaveLength(20);
    expect(files.every((one) => one.equals(file))).toBe(true);
    expect(new Set(await Promise.all(smtp.received.map(async ({ raw }) => (await parse(raw)).html))).size).toBe(20);
    const contents = reads.mock.calls.filter(([name]) => !name.startsWith('marker-'));
    expect(contents).toHaveLength(1);
    reads.mockRestore();
  });

  it.each<Lane>(['priority', 'bulk'])('arrive as they are by send() on the %s lane', async (lane) => {
    const streamed = randomBytes(150_000);
    await send({ content: streamOf(streamed), filename: 'a.bin' }, lane);
    await send({ path: 'terms.pdf' }, lane);
    const files = await arrived(2);
    expect(files.some((one) => one.equals(streamed)) && files.some((one) => one.equals(file))).toBe(true);
  });

  it('are read once by a priority mail that goes over to the queue', async () => {
    refuse = () => ({ code: 451, text: '4.3.0 Later' });
    const streamed = randomBytes(100_000);
    expect(await send({ content: streamOf(streamed) }, 'priority')).toMatchObject({ status: 'queued' });
    refuse = () => undefined;
    expect((await arrived(1))[0]!.equals(streamed)).toBe(true);
  });

  it('are read few at a time, however many are sent at once', async () => {
    let most = 0;
    let open = 0;
    const keep = vi.spyOn(Attachments.prototype, 'keep').mockImplementation(async (content) => {
      most = Math.max(most, ++open);
      for await (const chunk of content) void chunk;
      open--;
      return { blob: 'a', bytes: 1 };
    });
    vi.spyOn(Flusher.prototype, 'flush').mockResolvedValue();
    await Promise.all(Array.from({ length: 100 }, () => send({ path: 'terms.pdf' })));
    expect(keep).toHaveBeenCalledTimes(100);
    expect(most).toBe(16);
    vi.restoreAllMocks();
  });

  it('hold a priority mail up no longer than its time', async () => {
    const quick = await startMail({ smtp: smtp.url, queue: false, priority: { timeout: '50ms' } });
    const endless = new Readable({ read: () => undefined });
    const mail = { to: 'ann@readers.test', subject: 'x', text: 'x', attachments: [{ content: endless }] };
    await expect(quick.mail.send(mail)).rejects.toMatchObject({
      errors: [{ path: 'attachments', message: expect.stringContaining('priority.timeout (50 ms)') as string }],
    });
    expect(endless.destroyed).toBe(true);
    await quick.close();
  });

  it('are in the store once send() of a collection has resolved', async () => {
    const streamed = randomBytes(100_000);
    const before = await stored();
    await app.mail.collect(async () => {
      const stream = streamOf(streamed);
      expect(await send({ content: stream })).toMatchObject({ status: 'collected' });
      expect(stream.destroyed).toBe(true);
      expect(await stored()).toHaveLength(before.length + 1);
    });
    expect((await arrived(1))[0]!.equals(streamed)).toBe(true);
  });

  it.each<Lane | 'collected'>(['priority', 'bulk', 'collected'])(
    'leave nothing behind when they are too large: %s',
    async (way) => {
      const before = await stored();
      const chunks = (function* () {
        for (let n = 0; n < 100; n++) yield Buffer.alloc(20_000, n);
      })();
      const stream = Readable.from(chunks, { highWaterMark: 1 });
      const sending = (): Promise<unknown> => send({ content: stream }, way === 'collected' ? 'bulk' : way);
      await expect(way === 'collected' ? app.mail.collect(sending) : sending()).rejects.toMatchObject({
        name: 'MailValidationError',
        errors: [{ path: 'attachments[0]', message: expect.stringContaining(`(${MOST})`) as string }],
      });
      expect(stream.destroyed).toBe(true);
      expect(await stored()).toEqual(before);
      expect(smtp.received).toEqual([]);
    },
  );

  it('tell every fault of a campaign’s at once, and queue nothing', async () => {
    const failing = new Readable({ read: () => undefined });
    setImmediate(() => failing.destroy(new Error('The disk is gone')));
    const bulk = { id: 'faulty', subject: 'x', text: 'x', recipients: [{ to: 'ann@readers.test' }] };
    const attachments = [{ content: failing }, { path: 'missing.pdf' }];
    await expect(app.mail.sendBulk({ ...bulk, attachments })).rejects.toMatchObject({
      errors: [
        { path: 'attachments[0].content', message: 'the stream failed: The disk is gone' },
        { path: 'attachments[1].path', message: expect.stringContaining('ENOENT') as string },
      ],
    });
    expect(await app.mail.campaign('faulty')).toBeUndefined();
  });

  it('are let go of unread by a send() that is not needed, or refused', async () => {
    const idempotencyKey = 'one terms';
    await send({ path: 'terms.pdf' }, 'bulk', { idempotencyKey });
    const [again, refused, faulty] = [0, 1, 2].map(() => streamOf(file)) as [Readable, Readable, Readable];
    expect(await send({ content: again }, 'bulk', { idempotencyKey })).toMatchObject({ status: 'queued' });
    await expect(send({ content: refused }, 'bulk', { transport: 'nowhere' })).rejects.toThrow();
    await expect(send({ content: faulty }, 'bulk', { cc: 'nobody' })).rejects.toThrow();
    for (const stream of [again, refused, faulty]) {
      expect([stream.destroyed, stream.readableDidRead]).toEqual([true, false]);
    }
    expect(await arrived(1)).toHaveLength(1);
  });

  it('make the same campaign when it is continued, and another one when they say something else', async () => {
    const bulk = { id: 'terms', subject: 'x', text: 'x', recipients: [{ to: 'ann@readers.test' }] };
    await app.mail.sendBulk({ ...bulk, attachments: [{ path: 'terms.pdf' }] });
    const same = { filename: 'terms.pdf', content: streamOf(file) };
    expect(await app.mail.sendBulk({ ...bulk, attachments: [same] })).toMatchObject({ queued: 0, duplicates: 1 });
    const other = { filename: 'terms.pdf', content: streamOf(Buffer.alloc(100_000)) };
    await expect(app.mail.sendBulk({ ...bulk, attachments: [other] })).rejects.toMatchObject({
      errors: [{ path: 'id' }],
    });
    await arrived(1);
  });
});
