import type { Store } from '../store/store.js';
import type { Backend } from './backend.js';

/** What falls due this soon is due: coming back for it takes longer. Milliseconds. */
const SOON = 20;

/**
 * Whether a worker would find something to do now. Not so while the queue is paused, and not for batches that are
 * scheduled, that wait for their next attempt, or that another worker has.
 */
export async function isAnythingDue(store: Store, backend: Backend): Promise<boolean> {
  const { queue } = backend;
  if (await queue.isPaused()) return false;
  const [counts, delayed] = await Promise.all([
    queue.getJobCounts('wait', 'prioritized', 'active'),
    queue.getDelayedCount(Date.now() + SOON),
  ]);
  const { wait = 0, prioritized = 0, active = 0 } = counts;
  if (wait + prioritized + delayed > 0) return true;
  if (active === 0) return false;
  // No other process can have a batch of an embedded store.
  return store.kind === 'embedded' || backend.hasStalled();
}
