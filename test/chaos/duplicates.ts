import { MESSAGES_PER_CONNECTION } from '../../src/transport/transport.js';
import type { Done } from './faults.js';
import { CONNECTIONS, SHUTDOWN_TIMEOUT } from './scene.js';
import type { Accepted } from './sink.js';

/** Messages that a process has under way at once. */
export const IN_FLIGHT = CONNECTIONS * MESSAGES_PER_CONNECTION;
/** A worker begins no message while a checkpoint has been under way for this long, in milliseconds. */
const CHECKPOINT = 250;
/** Around a fault: the last checkpoints before it, and what was still on the line. */
const NEAR = 2 * CHECKPOINT;

/**
 * How many messages may go out again because of a fault: those in flight, and those accepted during one checkpoint.
 *
 * @param accepted all of the run
 */
export function boundOf({ fault, from, gone, clients }: Done, accepted: readonly Accepted[]): number {
  const inCheckpoint = (): number =>
    accepted.filter(({ at, client }) => clients.includes(client) && at > from - CHECKPOINT && at <= from).length;
  switch (fault.kind) {
    case 'producer SIGKILL':
      return 0;
    case 'SMTP server SIGKILL':
    case 'SMTP server SIGSTOP':
      // On a connection one message at a time is without its answer.
      return clients.length * CONNECTIONS;
    case 'worker SIGTERM':
      // In time it ends nothing half-way.
      return gone - from < SHUTDOWN_TIMEOUT ? 0 : IN_FLIGHT + inCheckpoint();
    case 'worker SIGKILL':
    case 'worker SIGSTOP':
    case 'store SIGKILL':
      return clients.length * IN_FLIGHT + inCheckpoint();
  }
}

/**
 * For how many of the messages that went out again each fault accounts: those that its processes handed over at about
 * that time, and no more than its bound. What is left stands under `undefined`.
 */
export function countByCause(
  repeated: readonly Accepted[],
  bounds: ReadonlyMap<Done, number>,
): Map<Done | undefined, number> {
  const counts = new Map<Done | undefined, number>();
  for (const { at, client } of repeated) {
    const cause = [...bounds.keys()]
      .filter((done) => done.clients.includes(client) && at >= done.from - NEAR && at <= done.until + NEAR)
      .sort((a, b) => Math.abs(at - a.from) - Math.abs(at - b.from))
      .find((done) => (counts.get(done) ?? 0) < bounds.get(done)!);
    counts.set(cause, (counts.get(cause) ?? 0) + 1);
  }
  return counts;
}
