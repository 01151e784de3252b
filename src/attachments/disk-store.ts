import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import type { AttachmentStore, StoredBlob } from './attachment-store.js';
import { checkName } from './blob-name.js';
import { inTurns } from './in-turns.js';

/** For what is being written; no blob's folder has such a name. */
const UNFINISHED = 'unfinished';
/** A file that nobody has written to for so long is of a process that died. */
const ABANDONED = 3_600_000;
/** A link in the place of a file leads somewhere else. Windows has no such flag. */
const NO_LINK = (constants.O_NOFOLLOW as number | undefined) ?? 0;
/** The bits of a mode that let others write. */
const OTHERS_WRITE = 0o002;

/**
 * Blobs as files of a folder, in 256 folders inside it, for one machine or for all that mount it. Folders are made with mode
 * 0700 and files with 0600; a link in the place of one is refused.
 */
export class DiskAttachmentStore implements AttachmentStore {
  readonly location: string;
  private prepared: Promise<void> | undefined;
  /** Folders of blobs that are on the disk, as far as this process knows. */
  private readonly lasting = new Set<string>();

  /** @param folder created when the first blob is written */
  constructor(private readonly folder: string) {
    this.location = pathToFileURL(folder).href;
  }

  async write(name: string, content: Readable, bytes: number): Promise<void> {
    checkName(name);
    try {
      await this.prepare();
      const [folder, unfinished] = [this.folderOf(name), join(this.folder, UNFINISHED)];
      await Promise.all([this.makeLasting(folder), makeFolder(unfinished)]);
      const file = join(unfinished, randomBytes(12).toString('hex'));
      try {
        await fill(file, content, bytes);
        await rename(file, join(folder, name));
        await sync(folder);
      } catch (error) {
        await rm(file, { force: true });
        throw error;
      }
    } finally {
      content.destroy();
    }
  }

  async read(name: string): Promise<Readable | undefined> {
    checkName(name);
    const file = await this.openFile(name);
    return file?.createReadStream();
  }

  async find(names: readonly string[]): Promise<Map<string, StoredBlob>> {
    names.forEach(checkName);
    const found = new Map<string, StoredBlob>();
    await inTurns(names, async (name) => {
      const blob = await this.look(this.folderOf(name), name);
      if (blob) found.set(name, blob);
    });
    return found;
  }

  async delete(names: readonly string[]): Promise<void> {
    names.forEach(checkName);
    for (const name of names) {
      const folder = this.folderOf(name);
      if (await isFolder(folder)) await rm(join(folder, name), { force: true });
    }
  }

  /** Removes on the way what processes that died have left unfinished. */
  async *list(): AsyncIterable<StoredBlob> {
    await this.removeAbandoned();
    for (const fan of await namesIn(this.folder)) {
      if (!/^[0-9a-f]{2}$/.test(fan)) continue;
      const folder = join(this.folder, fan);
      if (!(await isFolder(folder))) continue;
      for (const name of await namesIn(folder)) {
        const blob = await this.look(folder, name);
        if (blob) yield blob;
      }
    }
  }

  private folderOf(name: string): string {
    return join(this.folder, createHash('sha256').update(name).digest('hex').slice(0, 2));
  }

  /** The folder itself may be a link, which whoever names it decides; what is in it may not. */
  private prepare(): Promise<void> {
    this.prepared ??= prepareFolder(this.folder);
    this.prepared.catch(() => (this.prepared = undefined));
    return this.prepared;
  }

  /** Another process, or another write, may have made it and not have synced it yet. */
  private async makeLasting(folder: string): Promise<void> {
    if (!(await makeFolder(folder)) && this.lasting.has(folder)) return;
    await sync(this.folder);
    this.lasting.add(folder);
  }

  private async openFile(name: string): Promise<FileHandle | undefined> {
    const folder = this.folderOf(name);
    if (!(await isFolder(folder))) return undefined;
    const file = await orAbsent(open(join(folder, name), constants.O_RDONLY | NO_LINK));
    if (!file) return undefined;
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw new Error(`${join(folder, name)} is not a file`);
  }

  private async look(folder: string, name: string): Promise<StoredBlob | undefined> {
    const found = await orAbsent(lstat(join(folder, name)));
    return found?.isFile() ? { name, bytes: found.size, writtenAt: found.mtimeMs } : undefined;
  }

  private async removeAbandoned(): Promise<void> {
    const folder = join(this.folder, UNFINISHED);
    if (!(await isFolder(folder))) return;
    for (const name of await namesIn(folder)) {
      const found = await orAbsent(lstat(join(folder, name)));
      if (found && Date.now() - found.mtimeMs > ABANDONED) await rm(join(folder, name), { force: true });
    }
  }
}

async function prepareFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first !== undefined) await syncAbove(folder, first);
  const { mode } = await stat(folder);
  if (process.platform === 'win32' || !(mode & OTHERS_WRITE)) return;
  throw new Error(`everybody may write into ${folder}; take that right away, or name a folder inside it`);
}

/** Inside the store's own folder. Returns whether it was not there. */
async function makeFolder(folder: string): Promise<boolean> {
  if (await isFolder(folder)) return false;
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  return true;
}

/** Where folders were made, from the first of them on. */
async function syncAbove(folder: string, first: string): Promise<void> {
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    await sync(dirname(made)).catch((error: unknown) => {
      // A folder into which one may write need not be one that one may open.
      if (codeOf(error) !== 'EACCES') throw error;
    });
    if (made === dirname(made)) return;
  }
}

/** False where nothing is. @throws Error for anything else in its place */
async function isFolder(path: string): Promise<boolean> {
  const found = await orAbsent(lstat(path));
  if (!found) return false;
  if (found.isDirectory()) return true;
  throw new Error(`${path} is not a folder`);
}

async function namesIn(folder: string): Promise<string[]> {
  return (await orAbsent(readdir(folder))) ?? [];
}

/** Resolves when all of it is on the disk. */
async function fill(path: string, content: Readable, bytes: number): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_LINK, 0o600);
  try {
    await writeFile(file, content);
    const { size } = await file.stat();
    if (size !== bytes) throw new Error(`${size} bytes came in place of ${bytes}`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** So that the name outlives a power cut. Windows cannot open folders. */
async function sync(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const opened = await open(folder, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

async function orAbsent<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
