import { open, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { MailValidationError, reasonOf } from '../errors.js';

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
    const iterator = this.stream[Symbol.asyncIterator]();
    let left = this.within;
    try {
      for (;;) {
        const begun = performance.now();
        const step = await this.next(iterator, left);
        left -= performance.now() - begun;
        if (step.done) return;
        yield bytesOf(step.value);
      }
    } catch (error) {
      throw new Error(`the stream failed: ${reasonOf(error)}`, { cause: error });
    } finally {
      // One that hangs does not answer to return().
      void iterator.return?.().catch(() => undefined);
      this.release();
    }
  }

  release(): void {
    if (this.stream instanceof Readable) this.stream.destroy();
  }

  private async next(iterator: AsyncIterator<unknown>, left: number): Promise<IteratorResult<unknown, unknown>> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`it has not ended within ${this.within} ms`)), left);
    });
    try {
      return await Promise.race([iterator.next(), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A file inside the folder that the application allows. */
export class FileSource implements ContentSource {
  readonly field = 'path';

  constructor(
    private readonly file: string,
    private readonly allowedDir: string,
  ) {}

  async *chunks(room: Room): AsyncGenerator<Buffer> {
    const shown = JSON.stringify(this.file);
    try {
      const dir = await realpath(this.allowedDir);
      const target = await realpath(resolve(dir, this.file));
      if (!isInside(dir, target)) throw new Outside(`${shown} is outside attachments.allowedDir`);
      await using handle = await open(target);
      if (!room.has((await handle.stat()).size)) throw new TooLarge();
      yield* handle.createReadStream() as AsyncIterable<Buffer>;
    } catch (error) {
      if (error instanceof TooLarge || error instanceof Outside) throw error;
      const { code = 'unknown' } = error as { code?: string };
      throw new Error(`${shown} cannot be read from attachments.allowedDir: ${code}`, { cause: error });
    }
  }

  release(): void {
    // It is opened when it is read.
  }
}

class Outside extends Error {}

function bytesOf(chunk: unknown): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk);
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  throw new Error(`it yields values of type ${typeof chunk}, not bytes`);
}

function isInside(dir: string, target: string): boolean {
  const path = relative(dir, target);
  return path !== '' && path !== '..' && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}
