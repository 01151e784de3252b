import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  chmodSync,
} from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, expect, it, vi } from 'vitest';
import { DiskAttachmentStore } from '../../src/attachments/disk-store.js';
import { temporaryFolder } from '../support/temp.js';

let folder: string;
let store: DiskAttachmentStore;

beforeEach(() => {
  folder = join(temporaryFolder('attachments'), 'deep', 'inside');
  store = new DiskAttachmentStore(folder);
});

const write = (name: string, content: string): Promise<void> =>
  store.write(name, Readable.from([Buffer.from(content)], { objectMode: false }), content.length);
const modeOf = (...path: string[]): number => statSync(join(folder, ...path)).mode & 0o777;
/** The folder that the blob lies in. */
const fanOf = (name: string): string =>
  readdirSync(folder).find((fan) => readdirSync(join(folder, fan)).includes(name))!;

it('makes nothing before the first write, and then what only its own user can read', async () => {
  await store.read('blob');
  for await (const blob of store.list()) expect(blob).toBeUndefined();
  expect(() => statSync(folder)).toThrow('ENOENT');
  const umask = process.umask(0);
  try {
    await write('blob', 'x');
  } finally {
    process.umask(umask);
  }
  const fan = fanOf('blob');
  expect([modeOf(), modeOf(fan), modeOf('unfinished'), modeOf(fan, 'blob')]).toEqual([0o700, 0o700, 0o700, 0o600]);
  expect(readdirSync(join(folder, 'unfinished'))).toEqual([]);
});

it.skipIf(process.platform === 'win32')(
  'has on the disk what leads to a blob, down from the first folder made',
  async () => {
    const synced = new Set<number>();
    const probe = await open(temporaryFolder('probe'), 'r');
    const handles = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    const sync = vi.spyOn(handles, 'sync').mockImplementation(async function (this: FileHandle) {
      synced.add((await this.stat()).ino);
    });
    await write('blob', 'x');
    const fan = join(folder, fanOf('blob'));
    for (const path of [join(folder, '..', '..'), join(folder, '..'), folder, fan, join(fan, 'blob')]) {
      expect(synced).toContain(statSync(path).ino);
    }
    sync.mockRestore();
  },
);

it('spreads many blobs over folders', async () => {
  await Promise.all(Array.from({ length: 50 }, (_, n) => write(`blob-${n}`, 'x')));
  expect(readdirSync(folder).length).toBeGreaterThan(20);
});

it('follows no link in the place of a blob or a folder', async () => {
  await write('blob', 'mine');
  const elsewhere = temporaryFolder('elsewhere');
  const secret = join(elsewhere, 'blob');
  writeFileSync(secret, 'secret');
  const fan = fanOf('blob');
  const place = join(folder, fan, 'blob');
  rmSync(place);
  symlinkSync(secret, place);
  await expect(store.read('blob')).rejects.toThrow();
  expect(await store.find(['blob'])).toEqual(new Map());
  for await (const blob of store.list()) expect(blob).toBeUndefined();
  await write('blob', 'again');
  expect(statSync(secret).size).toBe('secret'.length);

  renameSync(join(folder, fan), join(folder, 'moved'));
  symlinkSync(elsewhere, join(folder, fan));
  await expect(store.read('blob')).rejects.toThrow(/is not a folder/);
  await expect(write('blob', 'x')).rejects.toThrow(/is not a folder/);
  await expect(store.delete(['blob'])).rejects.toThrow(/is not a folder/);
  expect(statSync(secret).size).toBe('secret'.length);
});

it('refuses a folder into which everybody may write', async () => {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  await expect(write('blob', 'x')).rejects.toThrow(/everybody may write into .*inside.*name a folder inside it/);
  chmodSync(folder, 0o755);
  await write('blob', 'x');
});

it('removes what dead processes left unfinished, and nothing that is being written', async () => {
  await write('blob', 'x');
  const unfinished = join(folder, 'unfinished');
  for (const [name, hours] of [
    ['dead', 2],
    ['alive', 0.5],
  ] as const) {
    writeFileSync(join(unfinished, name), 'half of it');
    const at = new Date(Date.now() - hours * 3_600_000);
    utimesSync(join(unfinished, name), at, at);
  }
  const names: string[] = [];
  for await (const { name } of store.list()) names.push(name);
  expect(names).toEqual(['blob']);
  expect(readdirSync(unfinished)).toEqual(['alive']);
});
