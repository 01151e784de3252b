import type { Transport } from './transport.js';

/** The transports that one message may take, each looked at when it is come to. */
export interface Route extends Iterable<Transport> {
  /** At most so many. */
  readonly length: number;
  /** Gives back the place that is kept for the message. To be called when it has been sent or not, and any number of times. */
  leave(): void;
}

/** No transport has room for a message, nor will one have before this. */
export interface NoRoom {
  /** When to ask again; milliseconds since the epoch. */
  until: number;
  /** What each of them says, such as `main: paused until 12:00:05 after "421 4.7.0 Too many messages"`. */
  reason: string;
}

/** Gives the messages of a batch to the transports that have room for them. */
export interface Dispatch {
  /**
   * Waits for a transport that has room, and keeps a place there until the route is left.
   *
   * @param wanted asked again while it waits; false ends the wait with undefined
   */
  next(wanted: () => boolean): Promise<Route | NoRoom | undefined>;
  /** When one of its transports last took a bulk message in this process; milliseconds since the epoch, 0 before the first. */
  readonly acceptedAt: number;
}

/** The given transports in their order, whatever room they have. */
export function inOrder(transports: readonly Transport[]): Dispatch {
  const route: Route = {
    length: transports.length,
    leave: () => undefined,
    [Symbol.iterator]: () => transports[Symbol.iterator](),
  };
  return { next: () => Promise.resolve(route), acceptedAt: 0 };
}
