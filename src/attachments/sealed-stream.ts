import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { lockedReason, type Sealer } from '../store/sealing.js';
import { BlobUnavailable } from './blob-unavailable.js';

/** What is read of a file before anything of it is passed on. */
export type Bytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

const CIPHER = 'aes-256-gcm';
const VERSION = 1;
const SALT_BYTES = 32;
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
/** Version and length of the key id. */
const FIXED_BYTES = 2;
const PURPOSE = 'priority-mail attachment';

/**
 * Encrypts content of any length in bounded memory: the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, “Online
 * Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance”, CRYPTO 2015) over AES-256-GCM, with the nonces of the
 * format of `age` (age-encryption.org/v1).
 *
 * A version byte, the key id with its length before it, and a salt come first. The file's own key derives from the key and the
 * salt (RFC 5869), so counters never repeat under one key. Then come chunks of 64 KB, each with its tag; the nonce of a chunk is
 * its number and whether it is the last. So none can be cut off, left out, exchanged, or taken from another file.
 */
export async function* seal(content: Bytes, sealer: Sealer): AsyncGenerator<Buffer> {
  const salt = randomBytes(SALT_BYTES);
  const id = Buffer.from(sealer.keyId);
  const key = sealer.derive(sealer.keyId, salt, PURPOSE)!;
  yield Buffer.concat([Buffer.from([VERSION, id.length]), id, salt]);
  let number = 0;
  for await (const { bytes, last } of chunksOf(content, CHUNK_BYTES)) {
    const cipher = createCipheriv(CIPHER, key, nonceOf(number++, last), { authTagLength: TAG_BYTES });
    yield Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }
}

/** How many bytes `seal` makes of so many. */
export function sealedBytes(bytes: number, sealer: Sealer): number {
  const chunks = Math.max(1, Math.ceil(bytes / CHUNK_BYTES));
  return FIXED_BYTES + Buffer.byteLength(sealer.keyId) + SALT_BYTES + bytes + chunks * TAG_BYTES;
}

/**
 * What was sealed, chunk by chunk. Each is authentic when it is passed on, and that it was all is certain at the end.
 *
 * @param opened told which key it takes, before anything is passed on
 * @throws BlobUnavailable `locked` or `damaged`
 */
export async function* open(sealed: Bytes, sealer: Sealer, opened: (keyId: string) => void): AsyncGenerator<Buffer> {
  const source = new Source(sealed);
  try {
    const [version, length = 0] = await source.take(FIXED_BYTES);
    const header = version === VERSION ? await source.take(length + SALT_BYTES) : Buffer.alloc(0);
    if (header.length < length + SALT_BYTES) throw damaged();
    const keyId = header.toString('utf8', 0, length);
    const key = sealer.derive(keyId, header.subarray(length), PURPOSE);
    if (!key) throw new BlobUnavailable('locked', lockedReason('', keyId).trim());
    opened(keyId);
    let number = 0;
    for await (const { bytes, last } of chunksOf(source.rest(), CHUNK_BYTES + TAG_BYTES)) {
      yield openChunk(key, bytes, nonceOf(number++, last));
    }
  } finally {
    await source.close();
  }
}

function openChunk(key: Buffer, sealed: Buffer, nonce: Buffer): Buffer {
  if (sealed.length < TAG_BYTES) throw damaged();
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const content = decipher.update(sealed.subarray(0, -TAG_BYTES));
  try {
    decipher.final();
  } catch (error) {
    throw damaged(error);
  }
  return content;
}

export function damaged(cause?: unknown): BlobUnavailable {
  return new BlobUnavailable('damaged', 'cannot be decrypted: it was changed in the store', { cause });
}

/** The chunk's number in eleven bytes, and whether it is the last in one. */
function nonceOf(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

interface Chunk {
  bytes: Buffer;
  last: boolean;
}

/** The same bytes in pieces of this length, and a last one that may be shorter; it is empty only when there is no other. */
async function* chunksOf(content: Bytes, length: number): AsyncGenerator<Chunk> {
  let held: Buffer = Buffer.alloc(0);
  for await (const piece of content) {
    const bytes = asBuffer(piece);
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    // What is exactly full may be the last.
    for (; held.length > length; held = held.subarray(length)) yield { bytes: held.subarray(0, length), last: false };
  }
  yield { bytes: held, last: true };
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes of which the first are read before the others. */
class Source {
  private readonly iterator: AsyncIterator<Uint8Array>;
  private held: Buffer = Buffer.alloc(0);

  constructor(bytes: Bytes) {
    this.iterator = iterate(bytes);
  }

  /** So many bytes, or as many as there are. */
  async take(length: number): Promise<Buffer> {
    while (this.held.length < length) {
      const step = await this.iterator.next();
      if (step.done) break;
      this.held = Buffer.concat([this.held, step.value]);
    }
    const taken = this.held.subarray(0, length);
    this.held = this.held.subarray(length);
    return taken;
  }

  async *rest(): AsyncGenerator<Buffer> {
    if (this.held.length > 0) yield this.held;
    for (let step = await this.iterator.next(); !step.done; step = await this.iterator.next())
      yield asBuffer(step.value);
  }

  async close(): Promise<void> {
    await this.iterator.return?.();
  }
}

async function* iterate(bytes: Bytes): AsyncGenerator<Uint8Array> {
  yield* bytes;
}
