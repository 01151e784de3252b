import { openEmbedded } from './pglite/embedded.js';
import { openPostgres } from './postgres.js';
import { openRedis } from './redis.js';
import type { DurableStore, Migrate } from './store.js';
import type { StoreTarget } from './target.js';

export interface OpenOptions {
  /** The queue's name: keeps the records of several mailers on one store apart. */
  name: string;
  migrate: Migrate;
  /** How long another process may take to let go of an embedded store's folder, in milliseconds. */
  lockTimeout: number;
  /** Connection errors between calls; calls reject by themselves. */
  onError: (error: Error) => void;
  /** Something that whoever runs the store should change; told once. */
  onWarning?: (warning: string) => void;
}

/** Makes the store's handle; nothing is connected or created before `ready()`. @throws MailConfigError for a missing peer */
export function openStore(target: StoreTarget, options: OpenOptions): Promise<DurableStore> {
  const prefix = `priority-mail:{${options.name}}`;
  switch (target.kind) {
    case 'redis':
      return openRedis(target, prefix, options.onError, options.onWarning ?? (() => undefined));
    case 'postgres':
      return openPostgres(target, prefix, options.migrate, options.onError);
    case 'embedded':
      return openEmbedded(target, prefix, options);
  }
}
