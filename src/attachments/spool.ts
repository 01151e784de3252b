import { createHash, randomBytes, type Hash, type Hmac } from 'node:crypto';
import { open as openFile, unlink, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Sealer } from '../store/sealing.js';
import { asBuffer, seal, sealedBytes } from './sealed-stream.js';

/** Content as it goes into the store: what it is known by, and how long it is, before its first byte leaves. */
export interface Spooled {
  /** Of what it was before it was sealed; keyed where it is sealed. */
  readonly hash: string;
  /** The same. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** From its beginning; may be called again when the one before has ended. */
  read(): Readable;
  dispose(): Promise<void>;
}

/** Sealed ones are known by their name, which the batch has sealed: others cannot be put in their place. */
export const SEALED = 'sealed-';

/** Content that is longer goes through a file. */
const IN_MEMORY = 256 * 1024;
/** What is hashed at a time: a fraction of a millisecond. */
export const PIECE = 256 * 1024;

/** What an attachment's hash is made with, and begins with. */
export function hashing(sealer: Sealer): { prefix: string; hash: Hash | Hmac } {
  return sealer.seals ? { prefix: SEALED, hash: sealer.naming()! } : { prefix: '', hash: createHash('sha256') };
}

/** The same bytes, with the event loop's other work between. */
export async function* inPieces(content: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at === 0 || at < content.length; at += PIECE) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    yield content.subarray(at, at + PIECE);
  }
}

/** Content that is in memory anyway stays there; any other is read to its end, and sealed before it touches a disk. */
export function spool(content: Buffer | AsyncIterable<Uint8Array>, sealer: Sealer): Promise<Spooled> {
  return Buffer.isBuffer(content) ? spoolBuffer(content, sealer) : spoolStream(content, sealer);
}

async function spoolBuffer(content: Buffer, sealer: Sealer): Promise<Spooled> {
  const bytes = content.length;
  const { prefix, hash } = hashing(sealer);
  for await (const piece of inPieces(content)) hash.update(piece);
  return {
    hash: prefix + hash.digest('hex'),
    bytes,
    storedBytes: sealer.seals ? sealedBytes(bytes, sealer) : bytes,
    read: () => Readable.from(sealer.seals ? seal([content], sealer) : [content], { objectMode: false }),
    dispose: () => Promise.resolve(),
  };
}

async function spoolStream(content: AsyncIterable<Uint8Array>, sealer: Sealer): Promise<Spooled> {
  const { prefix, hash } = hashing(sealer);
  let bytes = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of content) {
      hash.update(chunk);
      bytes += chunk.length;
      yield asBuffer(chunk);
    }
  }
  const held = await hold(sealer.seals ? seal(counted(), sealer) : counted());
  return { hash: prefix + hash.digest('hex'), bytes, ...held };
}

/** Reads to the end, into memory or into a file that nobody else can see and that goes with this process. */
async function hold(content: AsyncGenerator<Buffer>): Promise<Pick<Spooled, 'storedBytes' | 'read' | 'dispose'>> {
  const chunks: Buffer[] = [];
  let storedBytes = 0;
  let step = await content.next();
  for (; !step.done && storedBytes + step.value.length <= IN_MEMORY; step = await content.next()) {
    // The source may use its buffer for the next chunk.
    chunks.push(Buffer.from(step.value));
    storedBytes += step.value.length;
  }
  if (step.done) {
    return {
      storedBytes,
      read: () => Readable.from(chunks, { objectMode: false }),
      dispose: () => Promise.resolve(),
    };
  }
  const first = step.value;
  async function* all(): AsyncGenerator<Buffer> {
    yield* chunks.splice(0);
    storedBytes += first.length;
    yield first;
    for await (const chunk of content) {
      storedBytes += chunk.length;
      yield chunk;
    }
  }
  let file: FileHandle | undefined;
  try {
    file = await hiddenFile();
    await writeFile(file, all());
  } catch (error) {
    await content.return(undefined);
    await file?.close();
    throw error;
  }
  const kept = file;
  return {
    storedBytes,
    read: () => kept.createReadStream({ start: 0, autoClose: false }),
    dispose: () => kept.close(),
  };
}

async function hiddenFile(): Promise<FileHandle> {
  const path = join(tmpdir(), `priority-mail-${randomBytes(12).toString('hex')}`);
  const file = await openFile(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}
