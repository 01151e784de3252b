import type { Transport } from './transport.js';

/** The transports that one message may take, each looked at when it is come to. */
export interface Route extends Iterable<Transport> {
  /** At most so many. */
  readonly length: number;
}

/** No transport has room for a message, nor will one have before this. */
export interface NoRoom {
  /** When to ask again; milliseconds since the epoch. */
  until: number;
  /** What each of them says, such as `main: paused until 12:00:05 after "421 4.7.0 Too many messages"`. */
  reason: string;
  /** Since when no transport of them has taken a bulk message, as far as this process knows; 0 when it has seen none at all. */
  since: number;
}

/** Gives the messages of a batch to the transports that have room for them. */
export interface Dispatch {
  /**
   * Waits for a transport that has room, and keeps a place there until the route's iteration has ended: a route is to be
   * iterated at once, and only once.
   *
   * @param wanted asked again while it waits; false ends the wait with undefined
   */
  next(wanted: () => boolean): Promise<Route | NoRoom | undefined>;
}
