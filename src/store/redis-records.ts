import type { ChainableCommander, Redis } from 'ioredis';
import type { Change, Fields, Records } from './records.js';

const PUT_IF_ABSENT = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[1] ~= '' then redis.call('PEXPIREAT', KEYS[1], ARGV[1]) end
return 1`;

/**
 * Before each key's arguments come their number, and when it expires, or 0. A transaction of as many HSETs costs ioredis many
 * times as much.
 */
const MERGE = `
local at = 1
for _, key in ipairs(KEYS) do
  local last = at + 1 + tonumber(ARGV[at])
  redis.call('HSET', key, unpack(ARGV, at + 2, last))
  if ARGV[at + 1] ~= '0' then redis.call('PEXPIREAT', key, ARGV[at + 1]) end
  at = last + 1
end`;

/** Lua's unpack takes no more than some thousands. */
const MAX_PAIRS = 1_000;

/** Records as Redis hashes under `<prefix>:`. */
export class RedisRecords implements Records {
  constructor(
    private readonly client: Redis,
    private readonly prefix: string,
  ) {}

  async get(keys: readonly string[]): Promise<(Fields | undefined)[]> {
    const found = await this.transact((multi) => keys.forEach((key) => multi.hgetall(this.name(key))));
    return (found as Fields[]).map((fields) => (Object.keys(fields).length > 0 ? fields : undefined));
  }

  async putIfAbsent(key: string, fields: Fields, expiresAt?: number): Promise<boolean> {
    const pairs = Object.entries(fields).flat();
    const created = await this.client.eval(PUT_IF_ABSENT, 1, this.name(key), expiresAt ?? '', ...pairs);
    return created === 1;
  }

  async merge(changes: readonly Change[]): Promise<void> {
    const names: string[] = [];
    const values: string[] = [];
    for (const { key, fields, expiresAt = 0 } of changes) {
      const pairs = Object.entries(fields);
      for (let from = 0; from < pairs.length; from += MAX_PAIRS) {
        const some = pairs.slice(from, from + MAX_PAIRS);
        names.push(this.name(key));
        values.push(String(2 * some.length), String(expiresAt));
        for (const [name, value] of some) values.push(name, value);
      }
    }
    if (names.length > 0) await this.client.eval(MERGE, names.length, ...names, ...values);
  }

  async expire(keys: readonly string[], at: number): Promise<void> {
    await this.transact((multi) => keys.forEach((key) => multi.pexpireat(this.name(key), at)));
  }

  async delete(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.client.unlink(...keys.map((key) => this.name(key)));
  }

  async unset(key: string, fields: readonly string[]): Promise<number> {
    return fields.length > 0 ? this.client.hdel(this.name(key), ...fields) : 0;
  }

  /** Redis does so by itself. */
  sweep(): Promise<void> {
    return Promise.resolve();
  }

  async *scan(prefix: string): AsyncIterable<string> {
    const pattern = `${escapeGlob(this.name(prefix))}*`;
    const seen = new Set<string>();
    let cursor = '0';
    do {
      const [next, names] = await this.client.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000);
      cursor = next;
      for (const name of names) {
        // SCAN may return a key more than once.
        if (!seen.has(name)) yield name.slice(this.prefix.length + 1);
        seen.add(name);
      }
    } while (cursor !== '0');
  }

  private name(key: string): string {
    return `${this.prefix}:${key}`;
  }

  private async transact(fill: (multi: ChainableCommander) => void): Promise<unknown[]> {
    const multi = this.client.multi();
    fill(multi);
    const results = (await multi.exec()) ?? [];
    return results.map(([error, value]) => {
      if (error) throw error;
      return value;
    });
  }
}

function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\]/g, '\\$&');
}
