import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { Readable } from 'node:stream';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { MailError } from '../../src/errors.js';
import type { BulkMailInput, RecipientInput } from '../../src/message/message.js';
import { startMail, type MailApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import { lookInto } from '../support/stored.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

const COUNT = 1_000;
/** 16 batches of 10 are flushed together: those under way, those that wait for them, and the batch that is filled. */
const AHEAD = 2 * 160 + 2 * 10;

const person = (n: number): RecipientInput => ({ to: `p${n}@readers.test`, context: { n } });
const people = (count = COUNT): RecipientInput[] => Array.from({ length: count }, (_, n) => person(n));
const post = { subject: 'Post for {{n}}', text: 'x' };

let smtp: TestSmtpServer;
let proxy: TcpProxy;
let app: MailApp;
let connection: string;

beforeAll(async () => {
  smtp = await startSmtpServer();
  proxy = await startTcpProxy((await startRedis()).url);
  connection = `redis://127.0.0.1:${proxy.port}`;
  app = await startMail({ smtp: smtp.url, queue: { connection, batch: { size: 10 } } });
});
beforeEach(() => smtp.clear());

/** A source that tells how far it was read, and whether it was let go. */
interface Source {
  recipients: BulkMailInput['recipients'];
  read: () => number;
  released: () => boolean;
}

function generator(): Source {
  let [read, released] = [0, false];
  const recipients = (function* () {
    try {
      for (; read < COUNT * 100;) yield person(read++);
    } finally {
      released = true;
    }
  })();
  return { recipients, read: () => read, released: () => released };
}

function asyncGenerator(): Source {
  let [read, released] = [0, false];
  const recipients = (async function* () {
    try {
      for (; read < COUNT * 100;) yield await Promise.resolve(person(read++));
    } finally {
      released = true;
    }
  })();
  return { recipients, read: () => read, released: () => released };
}

function stream(): Source {
  let read = 0;
  const recipients = new Readable({
    objectMode: true,
    highWaterMark: 5,
    read() {
      this.push(read < COUNT * 100 ? person(read++) : null);
    },
  });
  return { recipients, read: () => read, released: () => recipients.destroyed };
}

const SOURCES: [string, () => Source][] = [
  ['a generator', generator],
  ['an async generator', asyncGenerator],
  ['a stream', stream],
];

describe('recipients', () => {
  it.each<[string, () => BulkMailInput['recipients']]>([
    ['an array', people],
    ['a set', () => new Set(people())],
    ['a generator', () => people().values()],
    [
      'an async generator',
      async function* () {
        for (const one of people()) yield await Promise.resolve(one);
      },
    ],
    ['a stream', () => Readable.from(people())],
    ['a stream that holds three', () => Readable.from(people(), { highWaterMark: 3 })],
    [
      'a stream that is pushed to from elsewhere',
      () => {
        const waiting = people();
        return new Readable({
          objectMode: true,
          read() {
            setImmediate(() => this.push(waiting.shift() ?? null));
          },
        });
      },
    ],
  ])('may come from %s', async (_, recipients) => {
    const receipt = await app.mail.sendBulk({ ...post, recipients: recipients() });
    expect(receipt).toMatchObject({ queued: COUNT, duplicates: 0, rejected: 0 });
    await eventually(async () =>
      expect(await app.mail.campaign(receipt.id)).toMatchObject({ state: 'completed', sent: COUNT }),
    );
    const arrived = smtp.received.map(({ to, raw }) => `${to.join()} ${/^Subject: (.*)$/m.exec(raw.toString())?.[1]}`);
    expect(arrived.sort()).toEqual(
      people()
        .map(({ to }, n) => `${to as string} Post for ${n}`)
        .sort(),
    );
  });

  it('of a stream that fails are as far in the queue as the error says', async () => {
    const cause = new Error('The file is torn');
    const torn = Readable.from(
      (function* () {
        yield* people(500);
        throw cause;
      })(),
    );
    const error = await rejection(app.mail.sendBulk({ ...post, id: 'torn', delay: '1h', recipients: torn }));
    expect(error).toMatchObject({ code: 'SOURCE_FAILED', cause, campaignId: 'torn' });
    expect(await app.mail.campaign('torn')).toMatchObject({ state: 'incomplete', total: error.queued });
  });
});

describe('a campaign that is called for again', () => {
  it('has lost nobody where the right to queue it ran out midway', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const standstill = async function* (): AsyncGenerator<RecipientInput> {
      yield* people(5);
      await lookInto(connection, ({ records }) => records.delete(['producer/lost']));
      vi.advanceTimersByTime(10_000);
      await new Promise(() => undefined);
    };
    const lost = await rejection(app.mail.sendBulk({ ...post, id: 'lost', recipients: standstill() }));
    expect(lost).toMatchObject({ code: 'CAMPAIGN_LOST', campaignId: 'lost', permanent: false });
    const { queued, duplicates } = await app.mail.sendBulk({ ...post, id: 'lost', recipients: people(50) });
    expect({ duplicates, all: queued + duplicates }).toEqual({ duplicates: lost.queued, all: 50 });
  });

  it('is refused where a newer release has queued some of it, since nobody can tell whom', async () => {
    const torn = function* (): Generator<RecipientInput> {
      yield* people(170);
      throw new Error('torn');
    };
    await rejection(app.mail.sendBulk({ ...post, id: 'newer', delay: '1h', recipients: torn() }));
    const job = await app.context.get<Queue>(getQueueToken('mail')).getJob('newer-0');
    await job!.updateData({ ...(job!.data as object), v: 99 });
    const again = await rejection(app.mail.sendBulk({ ...post, id: 'newer', delay: '1h', recipients: people() }));
    expect(again).toMatchObject({ code: 'CAMPAIGN_PAST_RETENTION', permanent: true, campaignId: 'newer' });
    expect(again.message).toMatch(/newer-0 was written by a newer release/);
    expect(await app.mail.campaign('newer')).toMatchObject({ state: 'incomplete' });
  });
});

describe.each(SOURCES)('%s', (_, make) => {
  it('is read no further than a few batches ahead of what is in the queue, however long the store takes', async () => {
    const { recipients, read, released } = make();
    const abort = new AbortController();
    let queued = 0;
    let ahead = 0;
    let frozen = false;
    onTestFinished(() => proxy.thaw());
    const queueing = rejection(
      app.mail.sendBulk({
        ...post,
        delay: '1h',
        recipients,
        signal: abort.signal,
        onProgress: (progress) => {
          queued = progress.queued;
          ahead = Math.max(ahead, read() - queued);
          // Nothing more is answered, and the source has far more than anybody may read.
          if (queued >= 640 && !frozen) proxy.freeze();
          frozen ||= queued >= 640;
        },
      }),
    );
    await eventually(() => frozen);
    const before = await standstill(read);
    expect(before - queued).toBeLessThanOrEqual(AHEAD);
    expect(released()).toBe(false);
    proxy.thaw();
    await eventually(() => read() > before);
    abort.abort();
    expect(await queueing).toMatchObject({ code: 'ABORTED' });
    expect(ahead).toBeLessThanOrEqual(AHEAD);
    await eventually(released);
  });

  it('is let go when the signal aborts, and was not read to its end', async () => {
    const { recipients, read, released } = make();
    const abort = new AbortController();
    const error = await rejection(
      app.mail.sendBulk({
        ...post,
        delay: '1h',
        recipients,
        signal: abort.signal,
        onProgress: ({ queued }) => queued >= 320 && abort.abort(),
      }),
    );
    expect(error).toMatchObject({ code: 'ABORTED' });
    await eventually(released);
    expect(read() - error.queued!).toBeLessThanOrEqual(AHEAD);
    expect(await app.mail.campaign(error.campaignId!)).toMatchObject({ state: 'incomplete', total: error.queued });
  });
});

it('a stream that is destroyed before its end is a source that failed', async () => {
  const source = new Readable({
    objectMode: true,
    read() {
      this.push(person(0));
      setImmediate(() => this.destroy());
    },
  });
  const error = await rejection(app.mail.sendBulk({ ...post, delay: '1h', recipients: source }));
  expect(error).toMatchObject({ code: 'SOURCE_FAILED', permanent: false });
  expect(await app.mail.campaign(error.campaignId!)).toMatchObject({ state: 'incomplete' });
});

it('an abort during a flush is met though the source never answers again', async () => {
  const abort = new AbortController();
  let read = 0;
  const hanging = async function* (): AsyncGenerator<RecipientInput> {
    while (!abort.signal.aborted) {
      if (read === 160) proxy.freeze();
      yield await Promise.resolve(person(read++));
    }
    await new Promise(() => undefined);
  };
  onTestFinished(() => proxy.thaw());
  const queueing = rejection(app.mail.sendBulk({ ...post, delay: '1h', recipients: hanging(), signal: abort.signal }));
  // It waits for the store before it asks the source for more.
  await standstill(() => read);
  abort.abort();
  proxy.thaw();
  expect(await queueing).toMatchObject({ code: 'ABORTED' });
});

/** How far it was read when it has not been read on for ten looks. */
async function standstill(read: () => number): Promise<number> {
  let [seen, times] = [-1, 0];
  await eventually(() => {
    times = read() === seen ? times + 1 : 0;
    seen = read();
    return times >= 10;
  });
  return seen;
}

async function rejection(work: Promise<unknown>): Promise<MailError> {
  return (await work.then(
    () => expect.unreachable(),
    (error: unknown) => error,
  )) as MailError;
}
