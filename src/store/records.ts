/** A record's fields. An absent record has none. */
export type Fields = Readonly<Record<string, string>>;

export interface Change {
  key: string;
  fields: Fields;
  /** When these fields vanish, for a record that is written as a whole; milliseconds since the epoch. Default: as `expire` said. */
  expiresAt?: number;
}

/**
 * Small named records beside the queue: ledgers, campaigns, marks, blobs.
 *
 * Every call is one round trip and takes effect as a whole or not at all. It rejects when the store cannot be reached;
 * a rejected write may have happened, and repeating it does no harm.
 */
export interface Records {
  /** In the order of the keys; undefined for those that do not exist or have expired. */
  get(keys: readonly string[]): Promise<(Fields | undefined)[]>;
  /** Creates the record unless it exists. True when it did. */
  putIfAbsent(key: string, fields: Fields, expiresAt?: number): Promise<boolean>;
  /** Sets the given fields and keeps the others; creates what does not exist. */
  merge(changes: readonly Change[]): Promise<void>;
  /** The records vanish at this time (milliseconds since the epoch). */
  expire(keys: readonly string[], at: number): Promise<void>;
  delete(keys: readonly string[]): Promise<void>;
  /** Takes fields out of a record, which is gone without any. How many of them it had. */
  unset(key: string, fields: readonly string[]): Promise<number>;
  /** Frees what has expired, where the store does not do so by itself. */
  sweep(now: number): Promise<void>;
  /** The keys with this prefix, in no order. */
  scan(prefix: string): AsyncIterable<string>;
}
