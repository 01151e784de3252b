/** What a probe has found out about a mail server, for people and for the ranking. */
export interface ServerLoad {
  /**
   * `unknown`: not asked yet. `ready`: bulk mail may come. `overloaded`: it may not, until the server has recovered.
   * `unreachable`: the probe had no answer.
   */
  state: 'unknown' | 'ready' | 'overloaded' | 'unreachable';
  /** Why it is not ready, such as `load 3.1 per core, above 2`. */
  reason?: string;
  /** When it was found out. */
  at?: Date;
  /** Load average of the last minute, per core. */
  load?: number;
  /** Percent. */
  freeMemory?: number;
  /** Of the spool's disk, in percent. */
  freeDisk?: number;
  /** Messages in the mail server's own queue. */
  queue?: number;
  /** Of a NOOP, or of the replies to messages where they take longer, or of the status request; in milliseconds. */
  latency?: number;
}

/** Watches how loaded one mail server is. */
export interface Probe {
  readonly load: ServerLoad;
  /** Whether bulk mail may go there now. */
  readonly admits: boolean;
  /**
   * Asks now, and again every few seconds until `stop()`. Resolves when the first answer is there or did not come; never
   * rejects.
   *
   * @param onChange called when `admits` has changed
   */
  start(onChange: () => void): Promise<void>;
  stop(): void;
}
