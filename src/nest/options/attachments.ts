import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import type { AttachmentStore } from '../../attachments/attachment-store.js';
import type { S3Credentials, S3Options } from '../../attachments/s3-options.js';
import type { AttachmentTarget } from '../../attachments/target.js';
import type { AttachmentRules } from '../../message/attachments.js';
import type { Duration } from '../../message/duration.js';
import type { AttachmentSettings } from '../../queue/settings.js';
import type { StoreTarget } from '../../store/target.js';
import { DEFAULTS } from './defaults.js';
import { fail, failUnseen, OptionReader } from './reader.js';

/** An S3-compatible object store. */
export interface S3StoreConfig {
  bucket: string;
  /** Before every object's key. Default: none. */
  prefix?: string;
  /** Default: that of the AWS SDK's own configuration. */
  region?: string;
  /** Of another provider than AWS, such as `https://s3.example.com`. */
  endpoint?: string;
  /** The bucket stands in the path in place of the host's name, as MinIO wants it. Default false. */
  forcePathStyle?: boolean;
  /** Default: those that the AWS SDK finds by itself, such as the machine's role. */
  credentials?: S3Credentials;
}

/** Attachments of queued mail, and where attachments may be read from. */
export interface AttachmentsConfig {
  /**
   * Where the attachments of queued mail lie: `file:///folder`, `s3://bucket/prefix` (with `?region=`, `&endpoint=` and
   * `&forcePathStyle=true`), the same as an object, or an {@link AttachmentStore}. With Redis or PostgreSQL, all processes
   * need the same one, and it has to be named. Default: beside the embedded queue.
   */
  store?: string | S3StoreConfig | AttachmentStore;
  /** The only folder that attachments are read from by `path`. Default: none, paths are refused. */
  allowedDir?: string;
  /**
   * A stream or a file has to be read to its end within this long, counting only what is waited for. On the priority lane
   * `priority.timeout` holds as well. Default `'60s'`.
   */
  readTimeout?: Duration;
  /** How long an attachment stays in the store after its last need. Default `'7d'`. */
  expireAfter?: Duration;
  /**
   * The id of a queue whose store was lost, so that another may take its place. The error about a store that is not the queue's
   * names it.
   */
  adopt?: string;
}

const REMEDY = "Use 'file:///folder', 's3://bucket/prefix', { bucket, … } or an AttachmentStore.";
const METHODS = ['write', 'read', 'find', 'delete', 'list'] as const;

/** @throws MailConfigError */
export function parseAttachments(parent: OptionReader): AttachmentRules & { stored: AttachmentSettings } {
  const reader = parent.section('attachments');
  const store = reader.raw('store');
  const allowedDir = reader.string('allowedDir');
  const readTimeout = reader.duration('readTimeout', DEFAULTS.attachments.readTimeout, 1);
  const adopt = reader.string('adopt');
  const expireAfter = reader.duration('expireAfter', DEFAULTS.attachments.expireAfter, 0, Infinity);
  reader.end();
  const target = store === undefined ? undefined : parseStore(store, reader.pathOf('store'));
  return {
    readTimeout,
    ...(allowedDir === undefined ? {} : { allowedDir }),
    stored: { expireAfter, target, ...(adopt === undefined ? {} : { adopt }) },
  };
}

/** Where they lie when nothing is said: undefined for stores that several machines may share. */
export function besideQueue(queue: StoreTarget): AttachmentTarget | undefined {
  if (queue.kind !== 'embedded') return undefined;
  return 'folder' in queue ? { kind: 'folder', folder: join(queue.folder, 'attachments') } : { kind: 'memory' };
}

function parseStore(value: unknown, path: string): AttachmentTarget {
  if (typeof value === 'string') return parseUrl(value, path);
  if (typeof value !== 'object' || value === null) return fail(path, value, REMEDY);
  const given = value as Partial<Record<string, unknown>>;
  if (typeof given['write'] !== 'function') return { kind: 's3', options: parseS3(new OptionReader(value, path)) };
  for (const method of METHODS) {
    if (typeof given[method] !== 'function') fail(`${path}.${method}`, given[method], 'Give a function.');
  }
  if (typeof given['location'] !== 'string') fail(`${path}.location`, given['location'], 'Give a name for logs.');
  return { kind: 'own', store: value as AttachmentStore };
}

function parseUrl(text: string, path: string): AttachmentTarget {
  const scheme = /^([a-z\d]+):\/\//.exec(text)?.[1];
  if (scheme === 'file') return { kind: 'folder', folder: folderOf(text, path) };
  if (scheme !== 's3' || !URL.canParse(text)) return fail(path, text, REMEDY);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    failUnseen(path, text, 'It has credentials. Leave them to the AWS SDK, or give { bucket, credentials }.');
  }
  const query = Object.fromEntries(url.searchParams);
  const forcePathStyle = query['forcePathStyle'];
  const options = {
    ...query,
    bucket: url.host,
    prefix: prefixOf(url, text, path),
    ...(forcePathStyle === 'true' || forcePathStyle === 'false' ? { forcePathStyle: forcePathStyle === 'true' } : {}),
  };
  return { kind: 's3', options: parseS3(new OptionReader(options, path)) };
}

function prefixOf({ pathname }: URL, text: string, path: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return fail(path, text, 'Write a percent sign as %25.');
  }
}

/** `file://./folder` is below the working directory, as with `pglite://`. */
function folderOf(text: string, path: string): string {
  const rest = text.slice('file://'.length);
  if (rest.startsWith('.')) return resolve(rest);
  try {
    return fileURLToPath(text);
  } catch {
    return fail(path, text, "Give three slashes before an absolute path, as in 'file:///var/lib/mail'.");
  }
}

function parseS3(reader: OptionReader): S3Options {
  const bucket = reader.string('bucket');
  if (bucket === undefined || !/^[\w.:/-]{3,}$/.test(bucket)) {
    return fail(reader.pathOf('bucket'), bucket, "Name the bucket, as in 's3://bucket/prefix'.");
  }
  const given = reader.raw('prefix') ?? '';
  if (typeof given !== 'string') fail(reader.pathOf('prefix'), given, 'Give text, such as attachments.');
  const prefix = given.replace(/^\/+|\/+$/g, '');
  const region = reader.string('region');
  const endpoint = reader.string('endpoint');
  if (endpoint !== undefined && !(URL.canParse(endpoint) && /^https?:/.test(endpoint))) {
    fail(reader.pathOf('endpoint'), endpoint, "Give a URL, such as 'https://s3.example.com'.");
  }
  const forcePathStyle = reader.boolean('forcePathStyle', DEFAULTS.attachments.store.forcePathStyle);
  const credentials = reader.raw('credentials') === undefined ? undefined : parseCredentials(reader);
  reader.end();
  return {
    bucket,
    prefix,
    forcePathStyle,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

function parseCredentials(parent: OptionReader): S3Credentials {
  const reader = parent.section('credentials');
  const secret = (name: string): string => {
    const value = reader.raw(name);
    if (typeof value === 'string' && value !== '') return value;
    return failUnseen(reader.pathOf(name), value, 'Give a string.');
  };
  const credentials = { accessKeyId: secret('accessKeyId'), secretAccessKey: secret('secretAccessKey') };
  const sessionToken = reader.raw('sessionToken') === undefined ? undefined : secret('sessionToken');
  reader.end();
  return { ...credentials, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
