import { setMaxListeners } from 'node:events';
import type { Acceptance, Outgoing } from '../transport.js';
import { TransportError } from '../transport.js';
import type { SmtpTransportOptions } from './options.js';
import { SmtpSession } from './session.js';

interface Waiter {
  resolve: (session: SmtpSession) => void;
  reject: (error: Error) => void;
}

/** No new connection is tried for this long after one failed while others still work. */
const CONNECT_PAUSE = 1_000;

/**
 * Kept-open connections of one transport and lane. A message takes whichever connection is free first, an idle one or
 * one that has just been opened; it never waits for a cold one when a warm one frees.
 */
export class SmtpPool {
  private readonly idle: { session: SmtpSession; timer: NodeJS.Timeout }[] = [];
  private readonly busy = new Set<SmtpSession>();
  private readonly waiters: Waiter[] = [];
  private readonly closing = new AbortController();
  private connecting = 0;
  private pausedUntil = 0;
  private drained: (() => void) | undefined;

  constructor(private readonly options: SmtpTransportOptions) {
    setMaxListeners(0, this.closing.signal);
  }

  /** @throws TransportError */
  async send(outgoing: Outgoing, signal: AbortSignal): Promise<Acceptance> {
    // Many messages may share one; Node would take their listeners for a leak.
    setMaxListeners(0, signal);
    for (;;) {
      const session = await this.acquire(signal);
      const fresh = session.sent === 0;
      try {
        return await session.send(outgoing, signal);
      } catch (error) {
        // The server ends connections that it finds idle or used up. It took nothing, so a connection that has carried no
        // message yet gets the same message once.
        if (fresh || signal.aborted || !isStale(error, session)) throw error;
      } finally {
        this.release(session);
      }
    }
  }

  /** Lets messages in flight finish for at most `within` milliseconds, then hangs up. */
  async close(within: number): Promise<void> {
    this.closing.abort(new Error(`The mail transport ${this.options.name} is closing`));
    for (const waiter of this.waiters.splice(0)) waiter.reject(this.closing.signal.reason as Error);
    for (const { session, timer } of this.idle.splice(0)) {
      clearTimeout(timer);
      session.quit();
    }
    if (this.busy.size === 0) return;
    await new Promise<void>((resolve) => {
      this.drained = resolve;
      setTimeout(resolve, within).unref();
    });
    for (const session of this.busy) session.hangUp();
  }

  private acquire(signal: AbortSignal): Promise<SmtpSession> {
    if (this.closing.signal.aborted) return Promise.reject(this.failure(this.closing.signal.reason));
    if (signal.aborted) return Promise.reject(this.failure(signal.reason));
    const free = this.idle.pop();
    if (free) {
      clearTimeout(free.timer);
      this.busy.add(free.session);
      return Promise.resolve(free.session);
    }
    return new Promise((resolve, reject) => {
      const give = (action: () => void): void => {
        signal.removeEventListener('abort', abort);
        action();
      };
      const waiter: Waiter = {
        resolve: (session) => give(() => resolve(session)),
        reject: (error) => give(() => reject(this.failure(error))),
      };
      const abort = (): void => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        waiter.reject(signal.reason as Error);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.waiters.push(waiter);
      this.grow();
    });
  }

  /** Opens connections while messages wait that no connection under way will serve. */
  private grow(): void {
    while (
      this.waiters.length > this.connecting &&
      this.connecting + this.busy.size + this.idle.length < this.options.maxConnections &&
      (Date.now() >= this.pausedUntil || this.connecting + this.busy.size === 0)
    ) {
      void this.connect();
    }
  }

  private async connect(): Promise<void> {
    this.connecting++;
    try {
      const session = await SmtpSession.open(this.options, this.closing.signal);
      session.whenClosed(() => this.forget(session));
      this.connecting--;
      this.busy.add(session);
      this.release(session);
    } catch (error) {
      this.connecting--;
      this.pausedUntil = Date.now() + CONNECT_PAUSE;
      // A provider that limits connections refuses one more: the messages then wait for those that are open.
      if (this.busy.size + this.connecting === 0) {
        for (const waiter of this.waiters.splice(0)) waiter.reject(error as Error);
      }
    }
  }

  private release(session: SmtpSession): void {
    if (!this.busy.has(session)) return;
    if (session.usable && session.dirty) return void session.reset().then(() => this.release(session));
    if (session.usable && !this.closing.signal.aborted && session.sent < this.options.maxMessages) {
      const waiter = this.waiters.shift();
      if (waiter) return waiter.resolve(session);
      this.busy.delete(session);
      this.rest(session);
    } else {
      this.busy.delete(session);
      session.quit();
      this.grow();
    }
    if (this.busy.size === 0) this.drained?.();
  }

  private rest(session: SmtpSession): void {
    const timer = setTimeout(() => session.quit(), this.options.idleTimeout);
    timer.unref();
    this.idle.push({ session, timer });
  }

  private forget(session: SmtpSession): void {
    this.busy.delete(session);
    const index = this.idle.findIndex((entry) => entry.session === session);
    if (index >= 0) clearTimeout(this.idle.splice(index, 1)[0]!.timer);
    if (this.busy.size === 0) this.drained?.();
    if (!this.closing.signal.aborted) this.grow();
  }

  private failure(reason: unknown): TransportError {
    if (reason instanceof TransportError) return reason;
    const reply = reason instanceof Error ? reason.message : 'The send was aborted';
    return new TransportError(this.options.name, {
      phase: this.connecting > 0 ? 'connect' : 'queue',
      outcome: 'not-sent',
      permanent: false,
      scope: 'transport',
      reply,
      cause: reason,
    });
  }
}

function isStale(error: unknown, session: SmtpSession): boolean {
  if (!(error instanceof TransportError) || error.outcome !== 'not-sent') return false;
  return error.replyCode === 421 || (error.replyCode === undefined && !session.usable);
}
