const pending: (() => unknown)[] = [];
const lastResorts = new Set<() => void>();

/**
 * Undoes something when the current test file has ended, latest first. Outside vitest call {@link cleanUp} yourself.
 *
 * @param cleanup may run after the test has undone the same thing itself, so it must not mind
 */
export function atEnd(cleanup: () => unknown): void {
  pending.push(cleanup);
}

/** Runs what {@link atEnd} collected; one failing cleanup does not keep the others from running. */
export async function cleanUp(): Promise<void> {
  const errors: unknown[] = [];
  for (let cleanup = pending.pop(); cleanup; cleanup = pending.pop()) {
    try {
      await cleanup();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, 'Cleaning up after the tests failed');
}

/**
 * Does something without waiting if this process ends before {@link cleanUp} has run.
 *
 * @returns takes it back
 */
export function lastResort(action: () => void): () => void {
  lastResorts.add(action);
  return () => lastResorts.delete(action);
}

function runLastResorts(): void {
  for (const action of lastResorts) action();
  lastResorts.clear();
}

process.once('exit', runLastResorts);
// vitest ends a worker that hangs by SIGTERM, which by itself runs no 'exit' listener.
process.once('SIGTERM', () => {
  runLastResorts();
  process.kill(process.pid, 'SIGTERM');
});
