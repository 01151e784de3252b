/** What the agent knows of the mail server that it runs beside. */
export interface MailServer {
  readonly name: string;
  /** A folder on the disk where its queue lies; undefined where that is not known. */
  readonly spool?: string;
  /** Milliseconds from one reading of the queue to the next, at least. */
  readonly every: number;
  /** Messages in its queue. What cannot tell leaves it out. @throws Error */
  readonly queue?: () => Promise<number>;
}

/** Where to look, if not where it usually is. */
export interface MailServerPaths {
  spool?: string | undefined;
  /** A folder whose messages are counted instead of asking the mail server. */
  queueDir?: string | undefined;
}

/** Reading a folder or asking a command, in milliseconds. */
export const OFTEN = 5_000;
