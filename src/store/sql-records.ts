import type { Change, Fields, Records } from './records.js';
import type { SqlQueryable } from './store.js';

/** The records' table, and that of rate limits, made by whoever opens the store. */
export const RECORDS_SCHEMA = `
CREATE SCHEMA IF NOT EXISTS priority_mail;
CREATE TABLE IF NOT EXISTS priority_mail.record (
  key text NOT NULL,
  field text NOT NULL,
  value text NOT NULL,
  expires_at bigint,
  PRIMARY KEY (key, field)
);
CREATE INDEX IF NOT EXISTS record_expiry ON priority_mail.record (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS priority_mail.rate (
  key varchar(255) PRIMARY KEY,
  points integer NOT NULL DEFAULT 0,
  expire bigint
);
`;

// A row of this field marks a record that was put, so that two who put it at once meet on the same primary key.
const CLAIM = '';

const GET = `SELECT key, field, value FROM priority_mail.record
WHERE key = ANY($1::text[]) AND (expires_at IS NULL OR expires_at > $2) AND field <> ''`;

const PUT_IF_ABSENT = `WITH claim AS (
  INSERT INTO priority_mail.record (key, field, value, expires_at)
  SELECT $1, '${CLAIM}', '', $4::bigint WHERE NOT EXISTS (
    SELECT 1 FROM priority_mail.record WHERE key = $1 AND (expires_at IS NULL OR expires_at > $5::bigint))
  ON CONFLICT (key, field) DO UPDATE SET expires_at = excluded.expires_at
    WHERE record.expires_at IS NOT NULL AND record.expires_at <= $5::bigint
  RETURNING 1
), filled AS (
  INSERT INTO priority_mail.record (key, field, value, expires_at)
  SELECT $1, f, v, $4::bigint FROM unnest($2::text[], $3::text[]) AS t(f, v) WHERE EXISTS (SELECT 1 FROM claim)
  ON CONFLICT (key, field) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
)
SELECT count(*)::int AS created FROM claim`;

// Rows in one order, so that two statements that touch the same rows cannot lock each other out.
const MERGE = `INSERT INTO priority_mail.record (key, field, value, expires_at)
SELECT k, f, v, e FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS t(k, f, v, e) ORDER BY k, f
ON CONFLICT (key, field) DO UPDATE SET value = excluded.value,
  expires_at = coalesce(excluded.expires_at, CASE WHEN record.expires_at > $5 THEN record.expires_at END)`;

const EXPIRE = 'UPDATE priority_mail.record SET expires_at = $2 WHERE key = ANY($1::text[])';
const DELETE = 'DELETE FROM priority_mail.record WHERE key = ANY($1::text[])';
const UNSET = `WITH gone AS (
  DELETE FROM priority_mail.record WHERE key = $1 AND field = ANY($2::text[]) AND field <> '${CLAIM}'
  RETURNING expires_at
), emptied AS (
  DELETE FROM priority_mail.record WHERE key = $1 AND field = '${CLAIM}' AND NOT EXISTS (
    SELECT 1 FROM priority_mail.record WHERE key = $1 AND field <> '${CLAIM}' AND field <> ALL($2::text[]))
)
SELECT count(*)::int AS removed FROM gone WHERE expires_at IS NULL OR expires_at > $3`;
const SWEEP = 'DELETE FROM priority_mail.record WHERE expires_at <= $1';
const SCAN = `SELECT DISTINCT key FROM priority_mail.record
WHERE key > $1 AND starts_with(key, $2) AND (expires_at IS NULL OR expires_at > $3) ORDER BY key LIMIT 1000`;

/** Records as rows of one table in PostgreSQL or PGlite. Keys are given a prefix. */
export class SqlRecords implements Records {
  constructor(
    private readonly db: SqlQueryable,
    private readonly prefix: string,
  ) {}

  async get(keys: readonly string[]): Promise<(Fields | undefined)[]> {
    const { rows } = await this.db.query(GET, [keys.map((key) => this.name(key)), Date.now()]);
    const found = new Map<string, Record<string, string>>();
    for (const row of rows as { key: string; field: string; value: string }[]) {
      const fields = found.get(row.key) ?? {};
      fields[row.field] = row.value;
      found.set(row.key, fields);
    }
    return keys.map((key) => found.get(this.name(key)));
  }

  async putIfAbsent(key: string, fields: Fields, expiresAt?: number): Promise<boolean> {
    const params = [this.name(key), Object.keys(fields), Object.values(fields), expiresAt ?? null, Date.now()];
    const { rows } = await this.db.query(PUT_IF_ABSENT, params);
    return rows[0]?.['created'] === 1;
  }

  async merge(changes: readonly Change[]): Promise<void> {
    // One statement may not touch a row twice: later changes of the same field win here.
    const rows = new Map<string, [key: string, field: string, value: string, expiresAt: number | null]>();
    for (const { key, fields, expiresAt = null } of changes) {
      for (const [field, value] of Object.entries(fields)) {
        rows.set(JSON.stringify([key, field]), [this.name(key), field, value, expiresAt]);
      }
    }
    if (rows.size === 0) return;
    const columns = [0, 1, 2, 3].map((column) => Array.from(rows.values(), (row) => row[column]));
    await this.db.query(MERGE, [...columns, Date.now()]);
  }

  async expire(keys: readonly string[], at: number): Promise<void> {
    await this.db.query(EXPIRE, [keys.map((key) => this.name(key)), at]);
  }

  async delete(keys: readonly string[]): Promise<void> {
    await this.db.query(DELETE, [keys.map((key) => this.name(key))]);
  }

  async unset(key: string, fields: readonly string[]): Promise<number> {
    const { rows } = await this.db.query(UNSET, [this.name(key), fields, Date.now()]);
    return rows[0]?.['removed'] as number;
  }

  async sweep(now: number): Promise<void> {
    await this.db.query(SWEEP, [now]);
  }

  async *scan(prefix: string): AsyncIterable<string> {
    let after = '';
    for (;;) {
      const { rows } = await this.db.query(SCAN, [after, this.name(prefix), Date.now()]);
      for (const { key } of rows as { key: string }[]) yield key.slice(this.prefix.length + 1);
      if (rows.length < 1_000) return;
      after = (rows.at(-1) as { key: string }).key;
    }
  }

  private name(key: string): string {
    return `${this.prefix}:${key}`;
  }
}
