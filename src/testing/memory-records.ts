import type { Change, Fields, Records } from '../store/records.js';

interface Entry {
  fields: Record<string, string>;
  expiresAt?: number;
}

/** Records in this process's memory. */
export class MemoryRecords implements Records {
  private readonly entries = new Map<string, Entry>();

  /** One record's fields at once. */
  peek(key: string): Fields | undefined {
    const fields = this.entry(key)?.fields;
    return fields && { ...fields };
  }

  get(keys: readonly string[]): Promise<(Fields | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.peek(key)));
  }

  putIfAbsent(key: string, fields: Fields, expiresAt?: number): Promise<boolean> {
    if (this.entry(key)) return Promise.resolve(false);
    this.entries.set(key, { fields: { ...fields }, ...(expiresAt === undefined ? {} : { expiresAt }) });
    return Promise.resolve(true);
  }

  merge(changes: readonly Change[]): Promise<void> {
    for (const { key, fields, expiresAt } of changes) {
      // A record without fields does not exist.
      if (Object.keys(fields).length === 0) continue;
      const entry = this.entry(key) ?? { fields: {} };
      Object.assign(entry.fields, fields);
      if (expiresAt !== undefined) entry.expiresAt = expiresAt;
      this.entries.set(key, entry);
    }
    return Promise.resolve();
  }

  expire(keys: readonly string[], at: number): Promise<void> {
    for (const key of keys) {
      const entry = this.entry(key);
      if (entry) entry.expiresAt = at;
    }
    return Promise.resolve();
  }

  delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.entries.delete(key);
    return Promise.resolve();
  }

  unset(key: string, fields: readonly string[]): Promise<number> {
    const entry = this.entry(key);
    const known = fields.filter((field) => entry !== undefined && Object.hasOwn(entry.fields, field));
    for (const field of known) delete entry!.fields[field];
    if (entry && Object.keys(entry.fields).length === 0) this.entries.delete(key);
    return Promise.resolve(known.length);
  }

  sweep(now: number): Promise<void> {
    for (const [key, { expiresAt = Infinity }] of this.entries) if (expiresAt <= now) this.entries.delete(key);
    return Promise.resolve();
  }

  async *scan(prefix: string): AsyncIterable<string> {
    for (const key of [...this.entries.keys()]) if (key.startsWith(prefix) && this.entry(key)) yield key;
  }

  private entry(key: string): Entry | undefined {
    const entry = this.entries.get(key);
    if (!entry || entry.expiresAt === undefined || entry.expiresAt > Date.now()) return entry;
    this.entries.delete(key);
    return undefined;
  }
}
