import type { IncomingMessage } from 'node:http';

/** Why a request's body is not to be had. */
export type NoBody =
  | 'too large'
  | 'too slow'
  /** Its sender hung up. */
  | 'cut off'
  /** Something has read it before, and kept what it made of it alone. */
  | 'gone'
  /** Others hold what memory there is. */
  | 'no room';

/** Whether there is room for so many bytes more, which then are held. */
export type Hold = (bytes: number) => boolean;

export interface BodyLimits {
  /** Bytes. A larger one is not read to its end. */
  max: number;
  /** Bytes that are kept; the rest is read and thrown away. Default: all. */
  keep?: number;
  /** Asked before bytes are kept. Default: there is room. */
  hold?: Hold;
  /** Milliseconds. Default 30,000. */
  within?: number;
}

/** Milliseconds. */
const READ_WITHIN = 30_000;

/** The very bytes of a request's body. */
export function readBody(
  request: IncomingMessage & { rawBody?: unknown },
  { max, keep = max, hold = () => true, within = READ_WITHIN }: BodyLimits,
): Promise<Buffer | NoBody> {
  // Where the platform reads it first, as in serverless functions, it may have kept the bytes too.
  if (request.readableDidRead) return Promise.resolve(Buffer.isBuffer(request.rawBody) ? request.rawBody : 'gone');
  if (Number(request.headers['content-length'] ?? 0) > max) return Promise.resolve('too large');
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const end = (result: Buffer | NoBody): void => {
      clearTimeout(timer);
      request.off('data', take);
      resolve(result);
    };
    const take = (chunk: Buffer): void => {
      if (size < keep) {
        if (!hold(chunk.length)) return end('no room');
        chunks.push(chunk);
      }
      size += chunk.length;
      if (size > max) end('too large');
    };
    const timer = setTimeout(() => end('too slow'), within);
    request.on('data', take);
    request.once('end', () => end(Buffer.concat(chunks).subarray(0, keep)));
    request.once('close', () => end('cut off'));
    request.once('error', () => end('cut off'));
  });
}
