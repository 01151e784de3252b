import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { MailValidationError, reasonOf } from '../errors.js';
import { within } from '../within.js';

/** A pipe answers at once, and what became a link meanwhile is refused. Windows has neither flag. */
const READ =
  constants.O_RDONLY |
  ((constants.O_NONBLOCK as number | undefined) ?? 0) |
  ((constants.O_NOFOLLOW as number | undefined) ?? 0);

/** What the attachments of one message may still take, in bytes. */
export class Room {
  constructor(
    readonly limit: number,
    private left = limit,
  ) {}

  /** Whether there is room for so many, without taking it. */
  has(bytes: number): boolean {
    return bytes <= this.left;
  }

  /** Returns whether there was room. */
  take(bytes: number): boolean {
    this.left -= bytes;
    return this.left >= 0;
  }
}

/** Where bytes come from that are not at hand. */
export interface ContentSource {
  /** Of the attachment's two fields the one that names it. */
  readonly field: 'content' | 'path';
  /** @throws TooLarge before there is anything to read */
  chunks(room: Room): AsyncIterable<Buffer>;
  /** Nobody is going to read it. */
  release(): void;
}

/** There is no more room for it. */
class TooLarge extends Error {}

/**
 * The bytes of an attachment that are not at hand: a stream, or a file. They are read once, in order, and no more of them than the
 * message's limits allow.
 */
export class UnreadContent implements AsyncIterable<Buffer> {
  /** @param path of the attachment in the message, for faults */
  constructor(
    private readonly source: ContentSource,
    private readonly room: Room,
    private readonly path: string,
  ) {}

  /** @throws MailValidationError it cannot be read, or is too large; the source is let go of */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const { source, room, path } = this;
    try {
      for await (const chunk of source.chunks(room)) {
        if (!room.take(chunk.length)) throw new TooLarge();
        yield chunk;
      }
    } catch (error) {
      if (error instanceof TooLarge) throw tooLarge(path, room);
      throw new MailValidationError([{ path: `${path}.${source.field}`, message: reasonOf(error) }]);
    }
  }

  /** Lets go of what it would have been read from. */
  release(): void {
    this.source.release();
  }
}

/** The fault of the attachment with which they become too large. */
export function tooLarge(path: string, { limit }: Room): MailValidationError {
  const message = `the attachments together are larger than limits.attachmentBytes (${limit})`;
  return new MailValidationError([{ path, message }]);
}

/** A stream of the application's. */
export class StreamSource implements ContentSource {
  readonly field = 'content';

  /** @param within milliseconds that it may be waited for in all */
  constructor(
    private readonly stream: AsyncIterable<unknown>,
    private readonly within: number,
  ) {
    // It may fail before anybody reads it, and is then found failed.
    if (stream instanceof Readable) stream.on('error', () => undefined);
  }

  async *chunks(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of inTime(this.stream, this.within)) yield bytesOf(chunk);
    } catch (error) {
      throw new Error(`the stream failed: ${reasonOf(error)}`, { cause: error });
    } finally {
      this.release();
    }
  }

  release(): void {
    if (this.stream instanceof Readable) this.stream.destroy();
  }
}

/** A file inside the folder that the application allows. */
export class FileSource implements ContentSource {
  readonly field = 'path';

  /** @param within milliseconds that it may be waited for in all */
  constructor(
    private readonly file: string,
    private readonly allowedDir: string,
    private readonly within: number,
  ) {}

  chunks(room: Room): AsyncIterable<Buffer> {
    return inTime(this.read(room), this.within);
  }

  release(): void {
    // It is opened when it is read.
  }

  private async *read(room: Room): AsyncGenerator<Buffer> {
    const shown = JSON.stringify(this.file);
    try {
      const dir = await realpath(this.allowedDir);
      const target = await realpath(resolve(dir, this.file));
      if (!isInside(dir, target)) throw new Outside(`${shown} is outside attachments.allowedDir`);
      await using handle = await open(target, READ);
      const found = await handle.stat();
      if (!found.isFile()) throw new Outside(`${shown} is not a file`);
      if (!room.has(found.size)) throw new TooLarge();
      yield* handle.createReadStream() as AsyncIterable<Buffer>;
    } catch (error) {
      if (error instanceof TooLarge || error instanceof Outside) throw error;
      const { code = 'unknown' } = error as { code?: string };
      throw new Error(`${shown} cannot be read from attachments.allowedDir: ${code}`, { cause: error });
    }
  }
}

class Outside extends Error {}

/** Fails when it has been waited for so long in all. */
async function* inTime<T>(source: AsyncIterable<T>, milliseconds: number): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  let left = milliseconds;
  try {
    for (;;) {
      const begun = performance.now();
      const step = await within(left, iterator.next(), () => new Error(`it has not ended within ${milliseconds} ms`));
      left -= performance.now() - begun;
      if (step.done) return;
      yield step.value;
    }
  } finally {
    // One that hangs does not answer to return().
    void iterator.return?.().catch(() => undefined);
  }
}

function bytesOf(chunk: unknown): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk);
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  throw new Error(`it yields values of type ${typeof chunk}, not bytes`);
}

function isInside(dir: string, target: string): boolean {
  const path = relative(dir, target);
  return path !== '' && path !== '..' && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}
