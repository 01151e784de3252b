import { TransportError } from '../transport.js';

/** A server that closes so many connections in a row on a message that began in advance does not bear it. */
const CUT_OFF = 3;
/** Then it is tried again after this long. Milliseconds. */
const PAUSE = 10 * 60_000;

/**
 * Whether a message may begin while the one before it is being answered. RFC 2920 §3.2 has servers bear it, but one may
 * take what comes in advance for a client that does not listen.
 */
export class InAdvance {
  private cutOff = 0;
  private pausedUntil = 0;

  constructor(private readonly wanted: boolean) {}

  get allowed(): boolean {
    return this.wanted && Date.now() >= this.pausedUntil;
  }

  /** A message that began in advance was taken. */
  worked(): void {
    this.cutOff = 0;
  }

  /**
   * One was not. Returns whether that came of its being early: it is then sent again.
   *
   * @param cut the server answered the message before it, and closed the connection on this one without a word
   */
  failed(error: unknown, cut: boolean): boolean {
    const early = wasTooEarly(error);
    if (cut) this.cutOff++;
    if (early || this.cutOff >= CUT_OFF) {
      this.pausedUntil = Date.now() + PAUSE;
      this.cutOff = 0;
    }
    return early;
  }
}

function wasTooEarly(error: unknown): boolean {
  if (!(error instanceof TransportError) || error.outcome !== 'not-sent') return false;
  const { replyCode = 0 } = error;
  return [500, 502, 503].includes(replyCode) || (replyCode === 554 && /synchroni[sz]|pipelin/i.test(error.reply));
}
