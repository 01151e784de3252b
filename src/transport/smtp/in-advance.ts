import { TransportError } from '../transport.js';

/** A server that closes the connection so often on a message that began in advance does not bear it. */
const CUT_OFF = 3;

/**
 * Whether a message may begin while the one before it is being answered. RFC 2920 §3.2 has servers bear it, but one may
 * take what comes in advance for a client that does not listen.
 */
export class InAdvance {
  /** Messages in a row that began in advance and found the connection closed. */
  private cutOff = 0;

  /** @param allowed at first */
  constructor(public allowed: boolean) {}

  /** A message that began in advance was taken. */
  worked(): void {
    this.cutOff = 0;
  }

  /** One was not. Returns whether that came of its being early: it is then sent again. @param closed the connection is */
  failed(error: unknown, closed: boolean): boolean {
    const early = wasTooEarly(error);
    if (closed) this.cutOff++;
    if (early || this.cutOff >= CUT_OFF) this.allowed = false;
    return early;
  }
}

function wasTooEarly(error: unknown): boolean {
  if (!(error instanceof TransportError) || error.outcome !== 'not-sent') return false;
  const { replyCode = 0 } = error;
  return [500, 502, 503].includes(replyCode) || (replyCode === 554 && /synchroni[sz]|pipelin/i.test(error.reply));
}
