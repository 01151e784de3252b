import type * as Sdk from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { loadPeer } from '../peer.js';
import type { AttachmentStore, StoredBlob } from './attachment-store.js';
import { checkName } from './blob-name.js';
import { inTurns } from './in-turns.js';
import type { S3Options } from './s3-options.js';

/** Milliseconds. A server that sends nothing for so long, in the middle of a file or before its answer, has failed. */
const CONNECT_WITHIN = 5_000;
const SILENT_FOR = 20_000;
/** Tries of one request, the first included. A body that is a stream has one. */
const TRIES = 3;
const PAGE = 1_000;

/** @throws MailConfigError when the AWS SDK's package is not installed */
export async function openS3(options: S3Options): Promise<S3AttachmentStore> {
  const sdk = await loadPeer('@aws-sdk/client-s3', () => import('@aws-sdk/client-s3'), 'attachments.store on S3');
  return new S3AttachmentStore(sdk, options);
}

/**
 * Blobs as objects of a bucket, under a prefix. They are private because the bucket's objects are, unless a policy says
 * otherwise: no ACL is sent, since buckets whose owner is enforced refuse it.
 */
export class S3AttachmentStore implements AttachmentStore {
  readonly location: string;
  private readonly client: Sdk.S3Client;
  private readonly prefix: string;

  constructor(
    private readonly sdk: typeof Sdk,
    private readonly options: S3Options,
  ) {
    const { bucket, prefix, region, endpoint, forcePathStyle = false, credentials } = options;
    this.location = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.prefix = prefix === '' ? '' : `${prefix}/`;
    this.client = new sdk.S3Client({
      maxAttempts: TRIES,
      requestHandler: { connectionTimeout: CONNECT_WITHIN, socketTimeout: SILENT_FOR },
      // Those that the SDK adds otherwise are refused by many a compatible store.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      forcePathStyle,
      // It would write to the console.
      logger: { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
    });
  }

  async write(name: string, content: Readable, bytes: number): Promise<void> {
    const place = this.place(name);
    const type = 'application/octet-stream';
    // The SDK waits for a body that has broken or is too short as for one that is slow.
    const broken = new AbortController();
    const body = exactly(content, bytes).on('error', (error) => broken.abort(error));
    try {
      const put = new this.sdk.PutObjectCommand({ ...place, Body: body, ContentLength: bytes, ContentType: type });
      await this.asked(this.client.send(put, { abortSignal: broken.signal }));
    } catch (error) {
      throw broken.signal.aborted ? broken.signal.reason : error;
    } finally {
      body.destroy();
      content.destroy();
    }
  }

  async read(name: string): Promise<Readable | undefined> {
    const got = await this.orAbsent(this.client.send(new this.sdk.GetObjectCommand(this.place(name))));
    return got?.Body as Readable | undefined;
  }

  async find(names: readonly string[]): Promise<Map<string, StoredBlob>> {
    const found = new Map<string, StoredBlob>();
    await inTurns(names, async (name) => {
      const head = await this.orAbsent(this.client.send(new this.sdk.HeadObjectCommand(this.place(name))));
      const { ContentLength = 0, LastModified } = head ?? {};
      if (head) found.set(name, { name, bytes: ContentLength, writtenAt: LastModified?.getTime() ?? Date.now() });
    });
    return found;
  }

  /** One by one: not every compatible store takes a list, and few blobs go at a time. */
  async delete(names: readonly string[]): Promise<void> {
    await inTurns(names, async (name) => {
      await this.orAbsent(this.client.send(new this.sdk.DeleteObjectCommand(this.place(name))));
    });
  }

  async *list(): AsyncIterable<StoredBlob> {
    const { bucket } = this.options;
    let after: string | undefined;
    for (;;) {
      const request = { Bucket: bucket, Prefix: this.prefix, MaxKeys: PAGE, StartAfter: after };
      const page = await this.asked(this.client.send(new this.sdk.ListObjectsV2Command(request)));
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        after = Key;
        const name = Key.slice(this.prefix.length);
        // Those deeper in are others'.
        if (name !== '' && !name.includes('/')) {
          yield { name, bytes: Size, writtenAt: LastModified?.getTime() ?? Date.now() };
        }
      }
      if (!page.IsTruncated) return;
    }
  }

  close(): Promise<void> {
    this.client.destroy();
    return Promise.resolve();
  }

  private place(name: string): { Bucket: string; Key: string } {
    checkName(name);
    return { Bucket: this.options.bucket, Key: this.prefix + name };
  }

  private async orAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer;
    } catch (error) {
      const { name } = error as Error;
      if (name === 'NoSuchKey' || name === 'NotFound') return undefined;
      throw this.told(error);
    }
  }

  private async asked<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw this.told(error);
    }
  }

  /** Without what the SDK hangs on its errors: the request, and with it who asked. */
  private told(error: unknown): Error {
    const {
      name = 'Error',
      message = '',
      $metadata,
    } = error as Partial<Error> & {
      $metadata?: { httpStatusCode?: number };
    };
    const status = $metadata?.httpStatusCode === undefined ? '' : ` (HTTP ${$metadata.httpStatusCode})`;
    return new Error(`${name}${status}${message === '' || message === name ? '' : `: ${message}`}`);
  }
}

function ignore(): void {
  // What goes wrong is thrown as well.
}

/** Fails where it comes to another length. */
function exactly(content: Readable, bytes: number): Readable {
  async function* counted(): AsyncGenerator<Uint8Array> {
    let length = 0;
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > bytes) break;
      yield chunk;
    }
    if (length !== bytes) throw new Error(`${length} bytes came in place of ${bytes}`);
  }
  return Readable.from(counted(), { objectMode: false });
}
