import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { atEnd } from './cleanup.js';
import { PostgresCluster } from './postgres-cluster.js';

export interface PostgresServer {
  readonly url: string;
  /** Lets it shut down in order, without waiting for its clients. */
  stop(): Promise<void>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data. */
  start(): Promise<void>;
}

export interface Database {
  readonly url: string;
  /** Removes it together with its connections. */
  drop(): Promise<void>;
}

/** Starts a PostgreSQL of the test's own, for tests that stop it. Takes a second: use createDatabase elsewhere. */
export async function startPostgres(): Promise<PostgresServer> {
  const cluster = await PostgresCluster.create();
  await cluster.start();
  return {
    url: cluster.url,
    stop: () => cluster.stop(),
    kill: () => cluster.kill(),
    start: () => cluster.start(),
  };
}

/** Makes an empty database on the server that the whole test run shares. */
export async function createDatabase(): Promise<Database> {
  const server = inject('postgresUrl');
  if (!server) throw new Error('Tests need PostgreSQL (initdb) on this machine, or DATABASE_URL');

  const name = `mail_${randomBytes(6).toString('hex')}`;
  await execute(server, `CREATE DATABASE ${name} TEMPLATE template0`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const drop = () => execute(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  atEnd(drop);
  return { url: url.href, drop };
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
