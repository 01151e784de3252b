import fc from 'fast-check';
import { createSecretKey, randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AttachmentSweep } from '../../src/attachments/attachment-sweep.js';
import type { AttachmentStore } from '../../src/attachments/attachment-store.js';
import { Attachments, type AttachmentSettings } from '../../src/attachments/attachments.js';
import { MemoryAttachmentStore } from '../../src/attachments/memory-store.js';
import { open, seal } from '../../src/attachments/sealed-stream.js';
import { MailConfigError, MailQueueUnavailableError } from '../../src/errors.js';
import { putNewest } from '../../src/newest.js';
import type { Records } from '../../src/store/records.js';
import { Sealer, UNSEALED, type SealingKey } from '../../src/store/sealing.js';
import { MemoryRecords } from '../../src/testing/memory-records.js';
import { blobsIn } from '../support/attachment-stores.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 5, 15, 12);
const SETTINGS: AttachmentSettings = { expireAfter: 7 * DAY, neededFor: 31 * DAY };

const key = (id: string): SealingKey => ({ id, key: createSecretKey(randomBytes(32)) });
const [old, current] = [key('old'), key('current')];

let store: AttachmentStore;
let records: MemoryRecords;

beforeEach(() => {
  vi.useFakeTimers({ now: START, toFake: ['Date'] });
  store = new MemoryAttachmentStore();
  records = new MemoryRecords();
});
afterEach(() => vi.useRealTimers());

interface Process {
  sealer?: Sealer;
  settings?: Partial<AttachmentSettings>;
  store?: AttachmentStore | undefined;
  records?: Records;
  onError?: (error: Error) => void;
}

/** Attachments as another process on the same queue and store has them. */
function start({ sealer = UNSEALED, settings, onError, ...on }: Process = {}): Attachments {
  const place = 'store' in on ? on.store : store;
  return new Attachments(place, on.records ?? records, sealer, { ...SETTINGS, ...settings }, onError);
}
const sweeper = (process = start(), on: { records?: Records; store?: AttachmentStore } = {}): AttachmentSweep =>
  new AttachmentSweep(on.store ?? store, process, on.records ?? records, SETTINGS.expireAfter);
const sweep = (): Promise<number> => sweeper().run(Date.now());
const pass = (time: number): void => void vi.setSystemTime(Date.now() + time);
const get = async (process: Attachments, blob: string): Promise<Buffer> => buffer(await process.read(blob));
async function* inPieces(content: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += length) yield await Promise.resolve(content.subarray(at, at + length));
}
async function all(chunks: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(chunk);
  return found;
}
function isSpooled(fd: string): boolean {
  try {
    return readlinkSync(fd).includes('/priority-mail-');
  } catch {
    return false;
  }
}
const write = (name: string, content: Buffer): Promise<void> =>
  store.write(name, Readable.from([content], { objectMode: false }), content.length);
const stored = async (name: string): Promise<Buffer> => buffer((await store.read(name))!);

describe.each([
  ['in the clear', UNSEALED],
  ['encrypted', new Sealer([current])],
])('content %s', (_, sealer) => {
  it('comes back as it was, whatever its length and however it came', async () => {
    const process = start({ sealer });
    for (const length of [0, 1, 65_535, 65_536, 65_537, 131_072, 700_001]) {
      const content = randomBytes(length);
      const whole = await process.keep(content);
      const streamed = await start({ sealer }).keep(inPieces(content, 50_000));
      expect(streamed).toEqual({ blob: whole.blob, bytes: length });
      expect((await get(process, whole.blob)).equals(content)).toBe(true);
    }
  });

  it('is stored once, also when it comes many times at once and from several processes', async () => {
    const content = randomBytes(1_000);
    const processes = [start({ sealer }), start({ sealer })];
    const first = await processes[0]!.keep(content);
    const kept = await Promise.all(Array.from({ length: 20 }, (_, n) => processes[n % 2]!.keep(Buffer.from(content))));
    expect(new Set(kept.map(({ blob }) => blob))).toEqual(new Set([first.blob]));
    const twins = await Promise.all(Array.from({ length: 20 }, () => processes[0]!.keep(Buffer.from('twin'))));
    expect(new Set(twins.map(({ blob }) => blob)).size).toBe(1);
    expect(await blobsIn(store)).toHaveLength(2);
  });

  it('lets others have their turns while Buffers are hashed, however many of them come at once', async () => {
    const process = start({ sealer });
    let turns = 0;
    let kept = false;
    const count = (): void => void (++turns, kept || setImmediate(count));
    const content = randomBytes(1024 * 1024);
    count();
    await Promise.all(Array.from({ length: 20 }, () => process.keep(content)));
    kept = true;
    expect(turns).toBeGreaterThan(20 * 3);
  });

  it('leaves nothing behind when its source fails, and fails with the same error', async () => {
    const broken = new Error('The source broke');
    async function* breaking(length: number): AsyncGenerator<Buffer> {
      yield* inPieces(randomBytes(length), 50_000);
      throw broken;
    }
    for (const length of [10, 1_000_000]) await expect(start({ sealer }).keep(breaking(length))).rejects.toBe(broken);
    expect(await blobsIn(store)).toEqual([]);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('priority-mail-'))).toEqual([]);
  });

  it('is refused when another lies in its place, or something was changed in it', async () => {
    const process = start({ sealer });
    const { blob } = await process.keep(randomBytes(200_000));
    const other = await process.keep(randomBytes(200_000));
    const good = await stored(blob);
    const changed = Buffer.from(good);
    changed[150_000]! ^= 1;
    const damaged = {
      name: 'BlobUnavailable',
      reason: 'damaged',
      message: expect.stringMatching(/was changed/) as string,
    };
    for (const bad of [
      await stored(other.blob),
      changed,
      good.subarray(0, -1),
      Buffer.concat([good, good]),
      Buffer.alloc(0),
    ]) {
      await write(blob, bad);
      await expect(get(process, blob)).rejects.toMatchObject(damaged);
    }
  });
});

it('encrypts, and cannot be cut off, reordered, or put together from several files', async () => {
  const sealer = new Sealer([current]);
  const process = start({ sealer });
  const content = Buffer.from('A secret line. '.repeat(20_000));
  const { blob, bytes } = await process.keep(content);
  expect(bytes).toBe(content.length);
  const sealed = await stored(blob);
  expect(sealed.includes('secret')).toBe(false);
  expect(blob).toContain('-sealed-');
  const header = 2 + current.id.length + 32;
  const size = 65_536 + 16;
  const chunks: Buffer[] = [];
  for (let at = header; at < sealed.length; at += size) chunks.push(sealed.subarray(at, at + size));
  expect(chunks).toHaveLength(5);
  const [first, second, ...rest] = chunks as [Buffer, Buffer, ...Buffer[]];
  const twin = await start({ sealer, settings: {} }).keep(Buffer.from(`${content.toString()}.`));
  const foreign = (await stored(twin.blob)).subarray(header, header + size);
  for (const bad of [
    [first, second],
    [first],
    [],
    chunks.slice(0, -1),
    [second, first, ...rest],
    [first, first, second, ...rest],
    [foreign, second, ...rest],
    [...chunks, Buffer.alloc(16)],
  ]) {
    await write(blob, Buffer.concat([sealed.subarray(0, header), ...bad]));
    await expect(get(process, blob)).rejects.toMatchObject({ reason: 'damaged' });
  }
  await write(blob, sealed);
  expect((await get(process, blob)).equals(content)).toBe(true);
});

it('tells by the encryption alone, before the name is compared, what was cut off, reordered or appended', async () => {
  const sealer = new Sealer([current]);
  const content = randomBytes(150_000);
  const [header, ...chunks] = (await all(seal([content], sealer))) as [Buffer, ...Buffer[]];
  const opened = (...parts: Buffer[]) => all(open([header, ...parts], sealer, () => undefined));
  const [first, second, last] = chunks as [Buffer, Buffer, Buffer];
  expect(Buffer.concat(await opened(first, second, last)).equals(content)).toBe(true);
  for (const bad of [[], [first], [first, second], [second, first, last], [first, last], [...chunks, last]]) {
    await expect(opened(...bad)).rejects.toMatchObject({ reason: 'damaged' });
  }
});

it.runIf(process.platform === 'linux')('has a file open for large content no longer than it is kept', async () => {
  const openFiles = (): number => readdirSync('/proc/self/fd').filter((fd) => isSpooled(`/proc/self/fd/${fd}`)).length;
  const attachments = start();
  let during = 0;
  async function* large(error?: Error): AsyncGenerator<Buffer> {
    yield* inPieces(randomBytes(600_000), 50_000);
    during += openFiles();
    if (error) throw error;
  }
  await attachments.keep(large());
  await expect(attachments.keep(large(new Error('The source broke')))).rejects.toThrow('The source broke');
  expect([during, openFiles()]).toEqual([2, 0]);
});

it('reads what older keys encrypted, and names the key where that is not here', async () => {
  const content = randomBytes(10);
  const plain = await start().keep(content);
  const { blob } = await start({ sealer: new Sealer([old]) }).keep(content);
  const rotated = start({ sealer: new Sealer([current, old]) });
  const again = await rotated.keep(content);
  expect(new Set([plain.blob, blob, again.blob]).size).toBe(3);
  for (const name of [plain.blob, blob, again.blob]) expect((await get(rotated, name)).equals(content)).toBe(true);
  for (const sealer of [new Sealer([current]), UNSEALED]) {
    const locked = { reason: 'locked', message: expect.stringMatching(/^is encrypted with the key "old"/) as string };
    await expect(get(start({ sealer }), blob)).rejects.toMatchObject(locked);
  }
});

it('takes nothing in the clear for what was encrypted', async () => {
  const process = start({ sealer: new Sealer([current]) });
  const { blob } = await process.keep(Buffer.from('mine'));
  await write(blob, Buffer.from('forged'));
  await expect(get(process, blob)).rejects.toMatchObject({ reason: 'damaged' });
});

it('says why a blob cannot be read', async () => {
  const process = start();
  const { blob } = await process.keep(Buffer.from('x'));
  await store.delete([blob]);
  const missing = { reason: 'missing', message: 'is not in the attachment store memory: any more' };
  await expect(process.read(blob)).rejects.toMatchObject(missing);
  vi.spyOn(store, 'read').mockRejectedValue(new Error('no route to host'));
  await expect(process.read(blob)).rejects.toMatchObject({ reason: 'away', message: /no route to host/ });
  const onError = vi.fn();
  const unnamed = start({ store: undefined, onError });
  for (let n = 0; n < 3; n++) await expect(unnamed.read(blob)).rejects.toMatchObject({ reason: 'elsewhere' });
  expect(onError).toHaveBeenCalledTimes(1);
  await expect(unnamed.keep(Buffer.from('x'))).rejects.toThrow(/attachments\.store is not set/);
});

it('tries a write once more, since a store cannot repeat a stream, and then says that the store is away', async () => {
  const content = randomBytes(400_000);
  const process = start();
  await process.keep(Buffer.from('first'));
  const writing = vi.spyOn(store, 'write').mockImplementationOnce(async (_, stream) => {
    await buffer(stream);
    throw new Error('reset');
  });
  const { blob } = await process.keep(inPieces(content, 90_000));
  expect((await get(process, blob)).equals(content)).toBe(true);
  writing.mockRejectedValue(new Error('no space left'));
  const failed = process.keep(Buffer.from('another'));
  await expect(failed).rejects.toThrow(MailQueueUnavailableError);
  await expect(failed).rejects.toThrow(/memory: cannot be used: no space left/);
});

it('remembers what was named last, and no more of it than it may', () => {
  const known = new Map<string, number>();
  for (const name of ['a', 'b', 'a', 'c']) putNewest(known, name, 1, 2);
  expect([...known.keys()]).toEqual(['a', 'c']);
});

describe('the lease', () => {
  it('keeps a blob until its last need, and the time that expireAfter adds; then it goes', async () => {
    const process = start();
    const { blob } = await process.keep(Buffer.from('report'));
    await process.lease(new Map([[blob, Date.now() + 10 * DAY]]));
    await process.lease(new Map([[blob, 0]]));
    pass((10 + 31 + 7) * DAY);
    expect(await sweep()).toBe(0);
    // Days are counted whole, and clocks may differ by an hour.
    pass(DAY + HOUR);
    expect(await sweep()).toBe(1);
    expect(await blobsIn(store)).toEqual([]);
    expect(await store.find(['anything'])).toEqual(new Map());
  });

  it('counts for nothing while somebody cannot tell what he needs', async () => {
    const { blob } = await start().keep(Buffer.from('sealed with a key that is away'));
    for (let day = 0; day < 40; day++) {
      await start().holdAll();
      pass(DAY);
      expect(await sweep()).toBe(0);
    }
    await start().lease(new Map([[blob, 0]]));
    pass(39 * DAY + HOUR);
    expect(await sweep()).toBe(1);
  });

  it('of what was never queued ends after expireAfter', async () => {
    await start().keep(Buffer.from('orphan'));
    pass(7 * DAY);
    expect(await sweep()).toBe(0);
    pass(DAY + HOUR);
    expect(await sweep()).toBe(1);
  });

  it('is renewed by whoever keeps or uses the blob, and asks the store no more than it has to', async () => {
    const process = start();
    const content = Buffer.from('logo');
    const { blob } = await process.keep(content);
    await process.lease(new Map([[blob, 0]]));
    const calls = vi.spyOn(records, 'merge');
    for (let n = 0; n < 100; n++) {
      await process.keep(content);
      await process.lease(new Map([[blob, 0]]));
    }
    expect(calls).not.toHaveBeenCalled();
    for (let week = 0; week < 20; week++) {
      pass(7 * DAY);
      await process.renew(new Map([[blob, 0]]));
      expect(await sweep()).toBe(0);
    }
  });

  it("is of another blob after a month, so that a bucket's lifecycle rule can go by age; the marker is written anew", async () => {
    const process = start();
    const content = Buffer.from('logo');
    const { blob } = await process.keep(content);
    pass(29 * DAY);
    await process.renew(new Map([[blob, 0]]));
    expect((await process.keep(content)).blob).toBe(blob);
    pass(2 * DAY);
    expect((await process.keep(content)).blob).not.toBe(blob);
    expect(await blobsIn(store)).toHaveLength(2);
    for await (const { name, writtenAt } of store.list()) {
      if (name.startsWith('marker-')) expect(writtenAt).toBe(Date.now());
    }
  });

  it('never ends where failed mail is kept for ever', async () => {
    const process = start({ settings: { neededFor: Infinity } });
    const { blob } = await process.keep(Buffer.from('x'));
    await process.lease(new Map([[blob, 0]]));
    pass(10_000 * DAY);
    expect(await sweep()).toBe(0);
  });

  it('of content that comes back after it was condemned is of a new blob, and nobody relies on the old one', async () => {
    const content = Buffer.from('x');
    const process = start();
    const { blob } = await process.keep(content);
    pass(10 * DAY);
    // Condemned by a process that dies before it deletes.
    vi.spyOn(store, 'delete').mockRejectedValueOnce(new Error('killed'));
    await expect(sweep()).rejects.toThrow('killed');
    await expect(start().lease(new Map([[blob, 0]]))).rejects.toMatchObject({
      code: 'ATTACHMENT_GONE',
      permanent: false,
    });
    const again = await process.keep(content);
    expect(again.blob).not.toBe(blob);
    await store.delete([blob]);
    expect(await get(process, again.blob)).toEqual(content);
  });

  it('leaves nothing in the records for ever', async () => {
    await start().keep(Buffer.from('x'));
    // Removed by somebody else, such as a bucket's lifecycle rule.
    await store.delete([(await start().keep(Buffer.from('removed'))).blob]);
    // Leased, and its process died before it was written.
    await start().leases.renew(new Map([['never-written', Date.now()]]));
    for (const days of [10, 32]) {
      pass(days * DAY);
      await sweep();
    }
    const left: string[] = [];
    for await (const name of records.scan('')) left.push(name);
    expect(left).toEqual(['attachments/store']);
  });

  it('lets no sweep delete what somebody relies on, however the steps of several processes fall between one another', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 3 }), async (scheduler, producers) => {
        const now = START;
        vi.setSystemTime(now);
        records = new MemoryRecords();
        store = new MemoryAttachmentStore();
        const content = Buffer.from('invoice');
        await start().keep(content);
        vi.setSystemTime(now + 8 * DAY + 2 * HOUR);
        const slowly = <T extends object>(target: T): T =>
          new Proxy(target, {
            get: (_, name) => {
              const value: unknown = Reflect.get(target, name);
              if (typeof value !== 'function' || name === 'scan' || name === 'list') {
                return typeof value === 'function' ? (value.bind(target) as unknown) : value;
              }
              const call = value as (...args: unknown[]) => Promise<unknown>;
              return (...args: unknown[]) => scheduler.schedule(Promise.resolve()).then(() => call.apply(target, args));
            },
          });
        const process = (): Attachments => start({ store: slowly(store), records: slowly(records) });
        const use = async (): Promise<string | undefined> => {
          const own = process();
          const { blob } = await own.keep(content);
          await own.lease(new Map([[blob, 0]]));
          return blob;
        };
        const clean = async (): Promise<void> => {
          const on = { store: slowly(store), records: slowly(records) };
          await sweeper(start(on), on).run(Date.now());
        };
        const used = Array.from({ length: producers }, use);
        const all = Promise.all([...used, clean(), clean()]);
        await scheduler.waitFor(all);
        for (const blob of await Promise.all(used)) expect((await store.find([blob!])).has(blob!)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('the marker', () => {
  it('lets a process with another disk keep and read nothing, until it has the same', async () => {
    const { blob } = await start().keep(Buffer.from('x'));
    const other = new MemoryAttachmentStore();
    const onError = vi.fn();
    const stranger = start({ store: other, onError });
    await expect(stranger.keep(Buffer.from('y'))).rejects.toThrow(MailConfigError);
    await expect(stranger.keep(Buffer.from('y'))).rejects.toThrow(
      /is not the one that this queue's attachments lie in/,
    );
    for (let n = 0; n < 3; n++) await expect(stranger.read(blob)).rejects.toMatchObject({ reason: 'elsewhere' });
    expect(onError).toHaveBeenCalledTimes(1);
    await expect(sweeper(stranger, { store: other }).run(Date.now())).rejects.toThrow(MailConfigError);
    expect(await blobsIn(other)).toEqual([]);
    for await (const { name } of store.list()) {
      const bytes = await stored(name);
      await other.write(name, Readable.from([bytes], { objectMode: false }), bytes.length);
    }
    expect((await get(stranger, blob)).toString()).toBe('x');
  });

  it('is adopted by an empty store that is told to, by the id that the error names', async () => {
    await start().keep(Buffer.from('x'));
    const empty = new MemoryAttachmentStore();
    const error = (await start({ store: empty })
      .keep(Buffer.from('y'))
      .catch((reason: unknown) => reason)) as Error;
    const adopt = /attachments\.adopt to '(\w+)'/.exec(error.message)![1]!;
    await expect(start({ store: empty, settings: { adopt: 'other' } }).keep(Buffer.from('y'))).rejects.toThrow();
    const { blob } = await start({ store: empty, settings: { adopt } }).keep(Buffer.from('y'));
    expect((await get(start({ store: empty }), blob)).toString()).toBe('y');
  });

  it('is made once, also by processes that begin at once on disks that they do not share', async () => {
    const disks = [store, new MemoryAttachmentStore(), new MemoryAttachmentStore()];
    const kept = await Promise.allSettled(disks.map((disk) => start({ store: disk }).keep(Buffer.from('x'))));
    expect(kept.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const same = await Promise.all([1, 2, 3].map(() => start({ records: new MemoryRecords() }).keep(Buffer.from('x'))));
    expect(same).toHaveLength(3);
  });

  it('notices a disk that is gone from under a running process', async () => {
    const process = start();
    await process.keep(Buffer.from('x'));
    for await (const { name } of store.list()) await store.delete([name]);
    pass(31_000);
    await expect(process.keep(Buffer.from('y'))).rejects.toThrow(MailConfigError);
  });

  it("keeps the queues apart that share a store: each sweeps its own, and a queue that was lost takes no other's", async () => {
    const { blob } = await start().keep(Buffer.from('x'));
    const others = new MemoryRecords();
    const other = await start({ records: others }).keep(Buffer.from('x'));
    expect(other.blob).not.toBe(blob);
    pass(30 * DAY);
    expect(await sweeper(start({ records: others }), { records: others }).run(Date.now())).toBe(1);
    expect(await blobsIn(store)).toEqual([blob]);
  });
});
