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
}

export type MailEventName = keyof MailEvents;
