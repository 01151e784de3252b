import type { TestProject } from 'vitest/node';
import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import { cleanUp } from './cleanup.js';
import { pgliteTemplate } from './pglite-template.js';
import { PostgresCluster } from './postgres-cluster.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server on which createDatabase() works; undefined when the machine has none. */
    postgresUrl: string | undefined;
    /** The data folder that pgliteFolder() copies. */
    pgliteTemplate: string;
  }
}

/** Prepares what is too slow to make for each test file. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [postgresUrl, template] = await Promise.all([sharedPostgres(), pgliteTemplate()]);
  project.provide('postgresUrl', postgresUrl);
  project.provide('pgliteTemplate', template);
  return cleanUp;
}

async function sharedPostgres(): Promise<string | undefined> {
  if (!findProgram(servers.postgres)) return process.env.DATABASE_URL;
  const cluster = await PostgresCluster.create();
  await cluster.start();
  return cluster.url;
}
