import type { SMTPConnectionAuth } from 'nodemailer/lib/smtp-connection';
import type { SmtpTransportOptions } from './options.js';
import { SmtpSession } from './session.js';

export interface DialSettings {
  login: (() => SMTPConnectionAuth) | undefined;
  /** Waits for leave to open one more connection where all processes share a limit; returns what gives it back. */
  lease?: (signal: AbortSignal) => Promise<() => void>;
}

/** A connection being opened, or waiting for leave to be. */
interface Attempt {
  since: number;
  giveUp: AbortController;
}

/** An attempt that has taken longer, or longer than so many round trips, may be one to a server that hangs. */
const HUNG = 250;
const HUNG_ROUND_TRIPS = 15;

/** Opens a pool's connections, and knows how many more there may be. */
export class Dialer {
  private readonly attempts = new Set<Attempt>();
  /** Of these, how many wait for leave. */
  private leasing = 0;
  /** Open at the server, those that have been said goodbye to included. */
  private present = 0;
  /** The round trip that was measured last, in milliseconds. */
  roundTrip = 0;

  /** @param onGone a connection is not used any more (`closed`), or its place is free as well (`gone`) */
  constructor(
    private readonly options: SmtpTransportOptions,
    private readonly settings: DialSettings,
    private readonly closing: AbortSignal,
    private readonly onGone: (session: SmtpSession, how: 'closed' | 'gone') => void,
  ) {}

  /** Connections being opened. */
  get dialling(): number {
    return this.attempts.size;
  }

  /** How many more `maxConnections` allows. */
  get vacant(): number {
    return this.options.maxConnections - this.attempts.size - this.present;
  }

  /** Attempts that may soon come to something. A message does not wait for a server that has been silent for long. */
  get promising(): number {
    const now = performance.now();
    return [...this.attempts].filter(({ since }) => now - since < this.hung).length;
  }

  /** Whether `maxTotalConnections` is what is waited for. */
  get waitsForLeave(): boolean {
    return this.leasing > 0;
  }

  /** Whether nothing is waited for but `maxTotalConnections`, if that. */
  get asksNobody(): boolean {
    return this.attempts.size <= this.leasing;
  }

  /** Undefined when the attempt was given up. @throws Error when it failed */
  async dial(): Promise<SmtpSession | undefined> {
    const attempt: Attempt = { since: performance.now(), giveUp: new AbortController() };
    const { signal } = attempt.giveUp;
    this.attempts.add(attempt);
    try {
      return await this.open(AbortSignal.any([this.closing, signal]));
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    } finally {
      this.attempts.delete(attempt);
    }
  }

  /** A message has waited in vain since then: what hung all that time is given up, as far as others do not want it. */
  giveUp(since: number, wanted: number): void {
    if (performance.now() - since < this.hung) return;
    for (const attempt of this.attempts) {
      if (this.attempts.size <= wanted) return;
      if (attempt.since <= since + 1) this.abandon(attempt);
    }
  }

  /** Gives up the oldest attempt. */
  giveUpOldest(): void {
    const [oldest] = this.attempts;
    if (oldest) this.abandon(oldest);
  }

  async open(signal: AbortSignal): Promise<SmtpSession> {
    const giveBack = await this.lease(signal);
    try {
      const session = await SmtpSession.open(this.options, this.settings.login, signal);
      this.present++;
      session.whenClosed(() => {
        // Whoever closes does not wait for the server.
        if (this.closing.aborted) giveBack?.();
        this.onGone(session, 'closed');
      });
      session.whenGone(() => {
        this.present--;
        giveBack?.();
        this.onGone(session, 'gone');
      });
      return session;
    } catch (error) {
      giveBack?.();
      throw error;
    }
  }

  private get hung(): number {
    return Math.max(HUNG, HUNG_ROUND_TRIPS * this.roundTrip);
  }

  private abandon({ giveUp }: Attempt): void {
    giveUp.abort(new Error('A message has waited for it in vain'));
  }

  private async lease(signal: AbortSignal): Promise<(() => void) | undefined> {
    this.leasing++;
    try {
      return await this.settings.lease?.(signal);
    } finally {
      this.leasing--;
    }
  }
}
