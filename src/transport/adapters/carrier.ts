import type { Acceptance, Outgoing } from '../transport.js';

/** One message on its way through somebody else's transport. */
export interface Handing {
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal;
  /** Whether the body may have left. A carrier that can tell sets it to false first, and back as it happens. */
  handedOver: boolean;
}

/** Somebody else's transport, by what all kinds of them have in common. */
export interface Carrier {
  /** Where it leads to, where that can be told. */
  readonly server?: { host: string; port: number };
  /** Messages that it sends at once by itself. */
  readonly maxConnections?: number;
  /** What it throws is told by its shape. */
  send(outgoing: Outgoing, handing: Handing): Promise<Acceptance>;
  /** Connects and authenticates. What cannot do both leaves it out. */
  verify?(): Promise<unknown>;
  /** Finds out whether anything answers there. Default: nobody knows. */
  reach?(signal: AbortSignal): Promise<unknown>;
  close?(): unknown;
}
