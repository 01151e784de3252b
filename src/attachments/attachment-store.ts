import type { Readable } from 'node:stream';

/** One blob of a store. */
export interface StoredBlob {
  name: string;
  /** Of what is stored. */
  bytes: number;
  /** When it was written last; milliseconds since the epoch. */
  writtenAt: number;
}

/**
 * Where attachments lie outside the queue: private, by name, each once. It knows nothing of what they are or who needs
 * them. Names are up to 200 letters, digits, `-` and `_`; a store refuses others before it looks anything up.
 *
 * Every call rejects while the store cannot be reached. All of it holds for any number of processes at once.
 */
export interface AttachmentStore {
  /** For logs and errors, without credentials, such as `file:///var/mail` or `s3://bucket/prefix`. */
  readonly location: string;
  /**
   * Keeps the bytes under this name; what was there is replaced as a whole. Nobody sees a part of it, also when it fails or the
   * process dies in between.
   *
   * @param bytes how many there are
   */
  write(name: string, content: Readable, bytes: number): Promise<void>;
  /** Undefined when there is no such blob. The stream is to be read or destroyed. */
  read(name: string): Promise<Readable | undefined>;
  /** Those of the names that are there. */
  find(names: readonly string[]): Promise<Map<string, StoredBlob>>;
  /** Those that are not there are passed over. */
  delete(names: readonly string[]): Promise<void>;
  /** All of them, in no order. */
  list(): AsyncIterable<StoredBlob>;
  close?(): Promise<void>;
}
