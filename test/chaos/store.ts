import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { pgliteTemplate } from '../support/pglite-template.js';
import { PostgresCluster } from '../support/postgres-cluster.js';
import { startRedis } from '../support/redis.js';
import { temporaryFolder } from '../support/temp.js';

export const STORE_NAMES = ['redis', 'postgres', 'embedded'] as const;
export type StoreName = (typeof STORE_NAMES)[number];

/** A store of the run's own, empty at first. */
export interface ChaosStore {
  /** `queue.connection`. */
  readonly connection: string;
  /** Ends it as a crash does. The embedded one has no process of its own to end. */
  kill(): Promise<void>;
  /** Starts it again on what it has on disk. */
  start(): Promise<void>;
}

export const openStore: Record<StoreName, () => Promise<ChaosStore>> = {
  async redis() {
    const redis = await startRedis({ appendonly: true });
    return { connection: redis.url, kill: () => redis.kill(), start: () => redis.restart() };
  },
  async postgres() {
    const cluster = await PostgresCluster.create();
    await cluster.start();
    return { connection: cluster.url, kill: () => cluster.kill(), start: () => cluster.start() };
  },
  async embedded() {
    const folder = temporaryFolder('chaos-pglite');
    await cp(await pgliteTemplate(), join(folder, 'data'), { recursive: true });
    const never = async (): Promise<never> => {
      throw new Error('The embedded store dies with the process that has it');
    };
    return { connection: `pglite://${folder}`, kill: never, start: never };
  },
};
