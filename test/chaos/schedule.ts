import { randomFrom } from './random.js';
import type { StoreName } from './store.js';

/** What happens to which part, and for how long in milliseconds. `down` ends with a restart, `frozen` with SIGCONT. */
export type Fault =
  | { kind: 'worker SIGKILL' | 'worker SIGTERM'; worker: number; down: number }
  | { kind: 'worker SIGSTOP'; worker: number; frozen: number }
  | { kind: 'producer SIGKILL'; down: number }
  | { kind: 'store SIGKILL'; down: number }
  | { kind: 'SMTP server SIGKILL'; down: number }
  | { kind: 'SMTP server SIGSTOP'; frozen: number };

export type FaultKind = Fault['kind'];

/** A fault and when it begins: when so many messages were accepted, or recipients read by the producer. */
export type Planned = { fault: Fault } & ({ accepted: number } | { read: number });

export interface RunOptions {
  /** Decides the schedule, and what the mail server does with which message. */
  seed: number;
  store: StoreName;
  recipients: number;
  /** Processes that deliver, where the store lets there be several. */
  workers: number;
  /** Faults besides the producer's death and the mail server's moods. */
  faults: number;
  /** Whether the producer is killed while it queues, which takes half a minute, since its claim on the campaign has to run out. */
  killProducer: boolean;
  /** Instead of all faults: one outage of the store, in milliseconds. */
  outage?: number;
}

/** Processes that deliver; on the embedded store there is one, which is the producer too. */
export function workersOf({ store, workers }: Pick<RunOptions, 'store' | 'workers'>): number {
  return store === 'embedded' ? 1 : workers;
}

/** Milliseconds: short, so that a stop of seconds outlasts it. */
export const LOCK_DURATION = 2_000;
/** Milliseconds that the module waits for the answer to a message. */
export const BODY_TIMEOUT = 4_000;

/** All faults begin between these shares of the campaign, so that all of them meet work. */
const [FIRST, LAST] = [0.03, 0.9];

/** What is going to happen, which the seed decides. */
export function schedule(options: RunOptions): Planned[] {
  const { seed, store, recipients, faults, killProducer, outage } = options;
  if (outage !== undefined) {
    return [{ accepted: Math.round(recipients * 0.3), fault: { kind: 'store SIGKILL', down: outage } }];
  }
  const random = randomFrom(seed);
  const between = (from: number, to: number): number => Math.round(from + random() * (to - from));
  const kinds = deal(store, faults, random);
  const places = kinds.map(() => between(recipients * FIRST, recipients * LAST)).sort((a, b) => a - b);
  const planned = kinds.map((kind, index): Planned => ({ accepted: places[index]!, fault: faultOf(kind) }));
  // Where one process is all there is, it dies as the worker that it is too.
  if (killProducer && store !== 'embedded') {
    planned.unshift({
      read: between(recipients * 0.2, recipients * 0.7),
      fault: { kind: 'producer SIGKILL', down: between(0, 500) },
    });
  }
  return planned;

  function faultOf(kind: FaultKind): Fault {
    const worker = between(1, workersOf(options));
    switch (kind) {
      case 'worker SIGSTOP':
        return { kind, worker, frozen: between(1.5 * LOCK_DURATION, 2.5 * LOCK_DURATION) };
      case 'SMTP server SIGSTOP':
        return { kind, frozen: between(1.2 * BODY_TIMEOUT, 1.5 * BODY_TIMEOUT) };
      case 'worker SIGKILL':
      case 'worker SIGTERM':
        return { kind, worker, down: between(0, 1_000) };
      default:
        return { kind, down: between(200, 3_000) };
    }
  }
}

/** Each kind at least once as far as there are so many, the workers' death twice, in an order of chance. */
function deal(store: StoreName, count: number, random: () => number): FaultKind[] {
  const deck: FaultKind[] = ['worker SIGKILL', 'worker SIGSTOP', 'SMTP server SIGKILL', 'worker SIGTERM'];
  if (store !== 'embedded') deck.unshift('store SIGKILL');
  deck.push('worker SIGKILL', 'SMTP server SIGSTOP');
  const kinds = Array.from({ length: count }, (_, index) => deck[index] ?? deck[Math.floor(random() * deck.length)]!);
  for (let index = kinds.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    [kinds[index], kinds[other]] = [kinds[other]!, kinds[index]!];
  }
  return kinds;
}
