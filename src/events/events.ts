/** What happened, by its name. */
export interface MailEvents {
  /** A transport's circuit has opened: it failed several times in a row, and others go before it. */
  'transport-down': {
    transport: string;
    region?: string;
    /** The last failure, in the server's or the socket's words. */
    reason: string;
    /** When it is checked again. */
    retryAt: Date;
  };
  /** It works again. */
  'transport-up': {
    transport: string;
    region?: string;
    /** Milliseconds that it was down. */
    downFor: number;
  };
  /** A campaign stands still, as its transports have had no room for it for `queue.waitForCapacity`. `resume(id)` continues it. */
  'campaign-suspended': {
    campaignId: string;
    at: Date;
    /** What each transport said, or why it was not asked. */
    error: string;
    /** The id of the message it stopped at. */
    place: string;
    /** Recipients still to be served. */
    remaining: number;
  };
}

export type MailEventName = keyof MailEvents;
