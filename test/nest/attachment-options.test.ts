import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import type { AttachmentTarget } from '../../src/attachments/target.js';
import { MemoryAttachmentStore } from '../../src/attachments/memory-store.js';
import { parse, refusal, withMain } from './options.js';

const redis = { connection: 'redis://127.0.0.1:6379' };
const place = (store: unknown, queue: object = redis): AttachmentTarget | undefined => {
  const { queue: parsed } = parse({ attachments: store === undefined ? {} : { store }, queue });
  return parsed ? parsed.attachments.target : undefined;
};
const refused = (store: unknown): string => refusal(withMain({ attachments: { store }, queue: redis }));

it('lie beside the embedded queue, and nowhere by themselves where machines share the queue', () => {
  expect(place(undefined, { connection: 'pglite://./queue' })).toEqual({
    kind: 'folder',
    folder: join(resolve('queue'), 'attachments'),
  });
  expect(place(undefined, { connection: 'pglite://memory' })).toEqual({ kind: 'memory' });
  expect(place(undefined)).toBeUndefined();
  expect(place(undefined, { connection: 'postgres://127.0.0.1/mail' })).toBeUndefined();
});

it('lie in a folder, absolute or below the working directory', () => {
  expect(place('file:///var/my%20mail')).toEqual({ kind: 'folder', folder: '/var/my mail' });
  expect(place('file://./mail')).toEqual({ kind: 'folder', folder: resolve('mail') });
  expect(refused('file://var/mail')).toMatch(/three slashes/);
});

it('lie in a bucket, by a URL or an object', () => {
  const options = { bucket: 'shop-mail', prefix: 'a/b', region: 'eu-central-1', endpoint: 'http://127.0.0.1:9000' };
  const url = `s3://shop-mail/a/b/?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1%3A9000&forcePathStyle=true`;
  expect(place(url)).toEqual({ kind: 's3', options: { ...options, forcePathStyle: true } });
  expect(place(options)).toEqual({ kind: 's3', options: { ...options, forcePathStyle: false } });
  expect(place('s3://shop-mail')).toEqual({
    kind: 's3',
    options: { bucket: 'shop-mail', prefix: '', forcePathStyle: false },
  });
  const credentials = { accessKeyId: 'AKIA', secretAccessKey: 'secret' };
  expect(place({ ...options, credentials })).toMatchObject({ options: { credentials } });
});

it("lie in a store of the application's own", () => {
  const store = new MemoryAttachmentStore();
  expect(place(store)).toEqual({ kind: 'own', store });
  expect(refused({ write: () => undefined })).toMatch(/attachments\.store\.read .*Give a function/);
});

it.each([
  ['ftp://host/folder', /attachments\.store is "ftp:.*Use 'file:\/\/\/folder'/],
  [7, /attachments\.store is 7/],
  [{}, /attachments\.store\.bucket is missing/],
  ['s3://', /attachments\.store/],
  ['s3://bucket/100%', /attachments\.store.*Write a percent sign as %25/],
  ['s3://bucket?forcepathstyle=true', /attachments\.store\.forcepathstyle is not known/],
  ['s3://bucket?forcePathStyle=yes', /attachments\.store\.forcePathStyle/],
  [{ bucket: 'mail', endpoint: 'host:9000' }, /attachments\.store\.endpoint.*Give a URL/],
  [{ bucket: 'mail', credentials: { accessKeyId: 'AKIAxyz' } }, /secretAccessKey is missing/],
  ['s3://AKIAxyz:secret@bucket', /has credentials/],
])('refuses %j', (store, message) => {
  expect(refused(store)).toMatch(message);
  expect(refused(store)).not.toMatch(/AKIAxyz|secret@/);
});
