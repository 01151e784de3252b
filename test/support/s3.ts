import { createRequire } from 'node:module';
import type { S3Options } from '../../src/attachments/s3-options.js';
import { atEnd } from './cleanup.js';
import { freePort } from './free-port.js';
import { temporaryFolder } from './temp.js';

interface Server {
  run(): Promise<unknown>;
  close(): Promise<void>;
}
type ServerClass = new (options: object) => Server;

/** What the server takes: its own fixed pair. */
export const S3_CREDENTIALS = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' };

/** Starts an S3 server on a free port, with an empty bucket in a temporary folder; ended when the test file ends. */
export async function startS3(): Promise<S3Options & { port: number; stop(): Promise<void> }> {
  const S3rver = createRequire(import.meta.url)('s3rver') as ServerClass;
  const port = await freePort();
  const bucket = 'attachments';
  const configureBuckets = [{ name: bucket, configs: [] }];
  const directory = temporaryFolder('s3');
  const server = new S3rver({ port, address: '127.0.0.1', silent: true, directory, configureBuckets });
  await server.run();
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= server.close());
  atEnd(stop);
  const endpoint = `http://127.0.0.1:${port}`;
  return {
    ...{ bucket, prefix: 'mail', region: 'us-east-1', endpoint, forcePathStyle: true },
    ...{ credentials: S3_CREDENTIALS, port, stop },
  };
}
