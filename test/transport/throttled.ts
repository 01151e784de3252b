import { CongestionWindow } from '../../src/transport/window.js';

/** What a server does with one message, at a time in milliseconds. */
export interface Throttle {
  /** The reply that refuses it; undefined when it is taken. */
  ask(now: number): string | undefined;
  /** Its answer has been given. */
  done?(): void;
}

const TOO_MUCH = '421 4.7.0 Too much mail, come back later';

/** In no span of `per` milliseconds more than `messages`. */
export function slidingLimit(messages: number, per = 1_000): Throttle {
  const times: number[] = [];
  return {
    ask(now) {
      while (times.length > 0 && times[0]! <= now - per) times.shift();
      if (times.length >= messages) return TOO_MUCH;
      times.push(now);
      return undefined;
    },
  };
}

/** So many from each full second to the next. */
export function windowLimit(messages: number, per = 1_000): Throttle {
  let [second, count] = [-1, 0];
  return {
    ask(now) {
      const current = Math.floor(now / per);
      if (current !== second) [second, count] = [current, 0];
      return ++count > messages ? TOO_MUCH : undefined;
    },
  };
}

/** A bucket that holds a second's messages and fills evenly. */
export function bucketLimit(messages: number): Throttle {
  let [tokens, filledAt] = [messages, 0];
  return {
    ask(now) {
      tokens = Math.min(messages, tokens + ((now - filledAt) * messages) / 1_000);
      filledAt = now;
      if (tokens < 1) return TOO_MUCH;
      tokens--;
      return undefined;
    },
  };
}

/** So many at the same time. */
export function concurrencyLimit(
  connections: number,
  reply = '421 4.7.0 mx.test Error: too many connections',
): Throttle {
  let open = 0;
  return {
    ask: () => (++open > connections ? reply : undefined),
    done: () => void open--,
  };
}

export interface Simulation {
  server: Throttle;
  /** Milliseconds from a message to its answer. */
  latency: number;
  /** Processes, each with a window of its own. Default 1. */
  windows?: number;
  /** Places of each. Default 15. */
  max?: number;
  seconds: number;
  /** Messages a second that there are to send. Default: always some. */
  offered?: number;
  seed?: number;
}

export interface Measured {
  accepted: number;
  /** Of all attempts, in percent. */
  refused: number;
  refusals: number;
  perSecond: number;
  /** Of each window. */
  shares: number[];
  windows: CongestionWindow[];
}

/** Runs windows against a server that throttles, in a time of its own: the same every time. */
export function simulate({
  server,
  latency,
  windows: count = 1,
  max = 15,
  seconds,
  offered,
  seed = 1,
}: Simulation): Measured {
  const events = new Heap();
  const random = generator(seed);
  let now = 0;
  const windows = Array.from({ length: count }, () => new CongestionWindow(max, () => now, random));
  const shares = windows.map(() => 0);
  const asleepUntil = windows.map(() => -1);
  let refusals = 0;
  let given = 0;
  // Who comes first is by chance, as on a network.
  const jitter = (): number => latency * (0.9 + 0.2 * random());

  function serve(index: number): void {
    const window = windows[index]!;
    for (;;) {
      if (offered !== undefined && given >= (offered * now) / 1_000) return wakeAt(index, now + 1_000 / offered);
      const room = window.room();
      if (room.state === 'free') start(index, window);
      else return Number.isFinite(room.within) ? wakeAt(index, now + room.within) : undefined;
    }
  }

  function start(index: number, window: CongestionWindow): void {
    given++;
    window.enter();
    const burst = window.burst;
    const took = jitter();
    const begun = now;
    events.add(begun + took / 2, () => {
      const reply = server.ask(now);
      events.add(begun + took, () => {
        server.done?.();
        if (reply === undefined) {
          shares[index]!++;
          window.accepted(burst);
        } else {
          refusals++;
          window.refused(burst, { reply, replyCode: Number(reply.slice(0, 3)) });
        }
        window.leave();
        serve(index);
      });
    });
  }

  /** Node's timers know milliseconds, and are late. */
  function wakeAt(index: number, time: number): void {
    const at = Math.max(Math.ceil(time), Math.floor(now) + 1) + Math.floor(random() * 2);
    if (asleepUntil[index]! >= now && asleepUntil[index]! <= at) return;
    asleepUntil[index] = at;
    events.add(at, () => {
      if (asleepUntil[index] !== at) return;
      asleepUntil[index] = -1;
      serve(index);
    });
  }

  windows.forEach((_, index) => events.add(0, () => serve(index)));
  for (let event = events.take(); event && event.at <= seconds * 1_000; event = events.take()) {
    now = event.at;
    event.run();
  }
  const accepted = shares.reduce((sum, share) => sum + share, 0);
  const refused = (100 * refusals) / (accepted + refusals);
  return { accepted, refusals, refused, perSecond: accepted / seconds, shares, windows };
}

interface Event {
  at: number;
  run: () => void;
}

/** The earliest first. */
class Heap {
  private readonly events: Event[] = [];

  add(at: number, run: () => void): void {
    const { events } = this;
    let index = events.push({ at, run }) - 1;
    for (let parent = (index - 1) >> 1; index > 0 && events[parent]!.at > at; parent = (index - 1) >> 1) {
      this.swap(index, parent);
      index = parent;
    }
  }

  take(): Event | undefined {
    const { events } = this;
    const first = events[0];
    const last = events.pop();
    if (!first || !last || first === last) return first;
    events[0] = last;
    for (let index = 0; ;) {
      const left = 2 * index + 1;
      if (left >= events.length) return first;
      const least = left + 1 < events.length && events[left + 1]!.at < events[left]!.at ? left + 1 : left;
      if (events[least]!.at >= events[index]!.at) return first;
      this.swap(index, least);
      index = least;
    }
  }

  private swap(a: number, b: number): void {
    [this.events[a], this.events[b]] = [this.events[b]!, this.events[a]!];
  }
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
