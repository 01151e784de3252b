import type { SMTPConnectionAuth } from 'nodemailer/lib/smtp-connection';
import { setMaxListeners } from 'node:events';
import { reasonOf } from '../../errors.js';
import { notAsked, TransportError, type Acceptance, type Outgoing, type TransportMonitor } from '../transport.js';
import type { SmtpTransportOptions } from './options.js';
import { SmtpSession } from './session.js';

interface Waiter {
  resolve: (session: SmtpSession) => void;
  reject: (error: Error) => void;
}

/** A connection being opened, or waiting for leave to be. */
interface Attempt {
  since: number;
  giveUp: AbortController;
}

interface Idle {
  session: SmtpSession;
  /** Milliseconds since it carried its last message, as of the last look at it. */
  unused: number;
  timer: NodeJS.Timeout;
}

export interface PoolSettings {
  /** Connections that are kept open once the pool has been started. */
  minWarm: number;
  login: (() => SMTPConnectionAuth) | undefined;
  /** Waits for leave to open one more connection where all processes share a limit; returns what gives it back. */
  lease?: (signal: AbortSignal) => Promise<() => void>;
}

/**
 * No new connection is tried for this long after one failed while others still work, or after one that carried no message
 * ended sooner than that.
 */
const CONNECT_PAUSE = 1_000;
/** A connection that is kept without NOOP is looked at this often, whether it is worn. */
const LOOK_AT_LEAST = 60_000;
/** An attempt to connect that has taken longer may be one to a server that hangs. */
const HUNG = 250;
/** A kept connection gets a successor when it has used up this much of its age or messages. */
const WORN = 0.9;

/**
 * Kept-open connections of one transport and lane. A message takes whichever connection is free first, an idle one or
 * one that has just been opened; it never waits for a cold one when a warm one frees.
 */
export class SmtpPool {
  private readonly idle: Idle[] = [];
  private readonly busy = new Set<SmtpSession>();
  /** With a NOOP under way. */
  private readonly checking = new Set<SmtpSession>();
  /** A successor is being opened, or is there. */
  private readonly succeeded = new WeakSet<SmtpSession>();
  private readonly waiters: Waiter[] = [];
  private readonly closing = new AbortController();
  private readonly attempts = new Set<Attempt>();
  /** Of these, how many wait for leave. */
  private leasing = 0;
  /** Open at the server, those that have been said goodbye to included. */
  private present = 0;
  private pausedUntil = 0;
  private refill: NodeJS.Timeout | undefined;
  private minWarm = 0;
  private monitor: TransportMonitor | undefined;
  private drained: (() => void) | undefined;

  constructor(
    private readonly options: SmtpTransportOptions,
    private readonly settings: PoolSettings,
  ) {
    setMaxListeners(0, this.closing.signal);
  }

  /** Opens the connections that are kept, and keeps them. Resolves when they are open or have failed. */
  async start(monitor: TransportMonitor): Promise<void> {
    this.monitor = monitor;
    this.minWarm = this.settings.minWarm;
    await this.fill();
  }

  /** @throws TransportError */
  async send(outgoing: Outgoing, signal: AbortSignal, handoverWithin?: number): Promise<Acceptance> {
    // Many messages may share one; Node would take their listeners for a leak.
    setMaxListeners(0, signal);
    const handoverBy = handoverWithin === undefined ? undefined : performance.now() + handoverWithin;
    const left = (): number | undefined => handoverBy && Math.max(0, handoverBy - performance.now());
    for (;;) {
      const { session, kept } = await this.acquire(signal, left());
      try {
        const within = left();
        // A kept connection may be dead without a sign of it: half of the time is left for a fresh one.
        const acceptance = await session.send(outgoing, signal, kept && within !== undefined ? within / 2 : within);
        if (session.roundTrip !== undefined) this.monitor?.roundTrip(session.roundTrip);
        return acceptance;
      } catch (error) {
        // The server ends connections that it finds idle or used up. It took nothing, so a connection that has carried no
        // message yet gets the same message once.
        if (!kept || signal.aborted || !isStale(error, session)) throw error;
        if ((error as TransportError).replyCode === undefined) this.distrust();
      } finally {
        this.release(session);
      }
    }
  }

  /** Whether a connection of this pool is at work, or answers. */
  async works(): Promise<boolean> {
    if (this.busy.size + this.checking.size > 0) return true;
    const free = this.idle.pop();
    if (!free) return false;
    clearTimeout(free.timer);
    await this.check(free.session, free.unused);
    return free.session.usable;
  }

  /** Opens a connection, which is kept if one is missing. @throws TransportError */
  async verify(signal: AbortSignal): Promise<void> {
    let session: SmtpSession;
    try {
      session = await this.open(AbortSignal.any([signal, this.closing.signal]));
    } catch (error) {
      throw error instanceof TransportError ? error : notAsked(this.options.name, reasonOf(error), { cause: error });
    }
    await session.check();
    if (session.roundTrip !== undefined) this.monitor?.roundTrip(session.roundTrip);
    if (this.alive >= this.minWarm) return session.quit();
    this.settle(session);
    void this.fill();
  }

  /** Lets messages in flight finish for at most `within` milliseconds, then hangs up. */
  async close(within: number): Promise<void> {
    this.minWarm = 0;
    clearTimeout(this.refill);
    this.closing.abort(new Error(`The mail transport ${this.options.name} is closing`));
    for (const waiter of this.waiters.splice(0)) waiter.reject(this.closing.signal.reason as Error);
    for (const { session } of [...this.idle]) session.quit();
    for (const session of [...this.checking]) session.hangUp();
    if (this.busy.size === 0) return;
    await new Promise<void>((resolve) => {
      this.drained = resolve;
      setTimeout(resolve, within).unref();
    });
    for (const session of this.busy) session.hangUp();
  }

  private get alive(): number {
    return this.attempts.size + this.busy.size + this.checking.size + this.idle.length;
  }

  private get vacant(): number {
    return this.options.maxConnections - this.attempts.size - this.present;
  }

  private async acquire(signal: AbortSignal, within?: number): Promise<{ session: SmtpSession; kept: boolean }> {
    if (this.closing.signal.aborted) throw this.failure(this.closing.signal.reason);
    if (signal.aborted) throw this.failure(signal.reason);
    const free = this.idle.pop();
    if (free) {
      clearTimeout(free.timer);
      free.session.hold(true);
      this.busy.add(free.session);
      return { session: free.session, kept: true };
    }
    const session = await this.wait(signal, within);
    return { session, kept: session.sent > 0 };
  }

  private wait(signal: AbortSignal, within?: number): Promise<SmtpSession> {
    return new Promise((resolve, reject) => {
      const give = (action: () => void): void => {
        clearTimeout(timer);
        clearTimeout(half);
        signal.removeEventListener('abort', abort);
        action();
      };
      const waiter: Waiter = {
        resolve: (session) => give(() => resolve(session)),
        reject: (error) => give(() => reject(this.failure(error))),
      };
      const since = performance.now();
      const leave = (reason: Error): void => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        waiter.reject(reason);
        this.giveUp(since);
      };
      const abort = (): void => leave(signal.reason as Error);
      const late = (): void => leave(new Error(`No connection was ready within ${Math.round(within!)} ms`));
      const timer = within === undefined ? undefined : setTimeout(late, within);
      const half = within === undefined ? undefined : setTimeout(() => this.insist(), within / 2);
      signal.addEventListener('abort', abort, { once: true });
      this.waiters.push(waiter);
      this.grow();
    });
  }

  /** A message has waited for half of its time: what hangs makes way, and the other half is for a fresh connection. */
  private insist(): void {
    const { promising } = this;
    if (this.vacant > 0 || promising > 0) return this.grow();
    // One of them takes the place: a NOOP or RSET without an answer, or an attempt.
    const silent = [...this.checking, ...this.busy].find((session) => session.asking);
    if (silent) silent.hangUp();
    else [...this.attempts][0]?.giveUp.abort(new Error('A message has waited for it in vain'));
  }

  /** Opens connections while messages wait that no connection under way will serve. */
  private grow(): void {
    while (
      this.waiters.length > this.promising &&
      this.vacant > 0 &&
      (Date.now() >= this.pausedUntil || this.attempts.size + this.busy.size === 0)
    ) {
      void this.connect();
    }
  }

  /** Opens what is missing of the connections that are kept. */
  private async fill(): Promise<void> {
    const missing = this.closing.signal.aborted ? 0 : Math.min(this.vacant, this.minWarm - this.alive);
    await Promise.all(Array.from({ length: Math.max(0, missing) }, () => this.connect()));
  }

  private async connect(): Promise<void> {
    const attempt: Attempt = { since: performance.now(), giveUp: new AbortController() };
    this.attempts.add(attempt);
    let session: SmtpSession;
    try {
      session = await this.open(AbortSignal.any([this.closing.signal, attempt.giveUp.signal]));
    } catch (error) {
      this.attempts.delete(attempt);
      if (attempt.giveUp.signal.aborted) this.grow();
      else this.connectFailed(error as Error);
      return;
    }
    this.attempts.delete(attempt);
    // Nobody waits for it: its round trip can be measured before somebody does.
    if (this.waiters.length === 0) await this.check(session);
    else this.settle(session);
  }

  /** Attempts that may soon come to something. A message does not wait for a server that has been silent for long. */
  private get promising(): number {
    const now = performance.now();
    return [...this.attempts].filter(({ since }) => now - since < HUNG).length;
  }

  /** A message has waited in vain since then: what hung all that time and is wanted by nobody else is given up. */
  private giveUp(since: number): void {
    const now = performance.now();
    if (now - since < HUNG) return;
    for (const attempt of this.attempts) {
      if (this.attempts.size <= this.waiters.length) return;
      if (attempt.since <= since + 1) attempt.giveUp.abort(new Error('A message has waited for it in vain'));
    }
  }

  private async open(signal: AbortSignal): Promise<SmtpSession> {
    const giveBack = await this.lease(signal);
    try {
      const session = await SmtpSession.open(this.options, this.settings.login, signal);
      this.present++;
      session.whenClosed(() => {
        this.forget(session);
        // Whoever closes does not wait for the server.
        if (this.closing.signal.aborted) giveBack?.();
        else this.replace(session);
      });
      session.whenGone(() => {
        this.present--;
        giveBack?.();
        this.replace(session);
      });
      return session;
    } catch (error) {
      giveBack?.();
      throw error;
    }
  }

  private async lease(signal: AbortSignal): Promise<(() => void) | undefined> {
    this.leasing++;
    try {
      return await this.settings.lease?.(signal);
    } finally {
      this.leasing--;
    }
  }

  private connectFailed(error: Error): void {
    this.pausedUntil = Date.now() + CONNECT_PAUSE;
    if (this.closing.signal.aborted) return;
    const others = this.busy.size + this.checking.size + this.attempts.size;
    if (this.waiters.length === 0) this.monitor?.connectFailed(this.failure(error));
    // A provider that limits connections refuses one more: the messages then wait for those that are open.
    if (others === 0) for (const waiter of this.waiters.splice(0)) waiter.reject(error);
  }

  private async check(session: SmtpSession, unused = 0): Promise<void> {
    this.checking.add(session);
    await session.check();
    if (!this.checking.delete(session)) return;
    if (session.roundTrip !== undefined) this.monitor?.roundTrip(session.roundTrip);
    this.settle(session, unused);
  }

  private release(session: SmtpSession): void {
    if (!this.busy.has(session)) return;
    if (session.usable && session.dirty) return void session.reset().then(() => this.release(session));
    this.busy.delete(session);
    this.settle(session);
    if (this.busy.size === 0) this.drained?.();
  }

  /** A connection that has nothing to do: the next message's, or kept, or at its end. */
  private settle(session: SmtpSession, unused = 0): void {
    const { maxMessages, maxAge } = this.options;
    const wear = Math.max(session.sent / maxMessages, session.age / maxAge);
    // It is not among the living while it is looked at; its successor may still be on its way.
    const others = this.alive - this.attempts.size;
    const outdated = wear >= 1 || (this.succeeded.has(session) && others >= this.minWarm);
    if (!session.usable || this.closing.signal.aborted || outdated) return session.quit();
    if (wear >= WORN) this.succeed(session);
    const waiter = this.waiters.shift();
    if (!waiter) return this.rest(session, unused);
    session.hold(true);
    this.busy.add(session);
    waiter.resolve(session);
  }

  /** Opens the successor of a kept connection before it has to go, so that no message waits for a cold one. */
  private succeed(session: SmtpSession): void {
    if (this.succeeded.has(session) || this.alive >= this.minWarm || this.vacant <= 0) return;
    this.succeeded.add(session);
    void this.connect();
  }

  private rest(session: SmtpSession, unused: number): void {
    const { keepAlive, idleTimeout, maxAge } = this.options;
    const { age } = session;
    const surplus = this.alive >= this.minWarm;
    if (surplus && idleTimeout === 0) return session.quit();
    // When it gets its successor, and when it has to go.
    const next = (age < WORN * maxAge ? WORN * maxAge : maxAge) - age;
    const wait = Math.ceil(Math.min(keepAlive > 0 ? keepAlive : LOOK_AT_LEAST, surplus ? idleTimeout : Infinity, next));
    const timer = setTimeout(() => this.tick(entry), wait);
    timer.unref();
    session.hold(false);
    const entry: Idle = { session, unused: unused + wait, timer };
    this.idle.push(entry);
  }

  private tick(entry: Idle): void {
    const { session, unused } = entry;
    this.idle.splice(this.idle.indexOf(entry), 1);
    const surplus = this.alive >= this.minWarm;
    if (surplus && unused >= this.options.idleTimeout) return session.quit();
    if (this.options.keepAlive > 0) void this.check(session, unused);
    else this.settle(session, unused);
  }

  private forget(session: SmtpSession): void {
    this.busy.delete(session);
    this.checking.delete(session);
    const index = this.idle.findIndex((entry) => entry.session === session);
    if (index >= 0) clearTimeout(this.idle.splice(index, 1)[0]!.timer);
    if (this.busy.size === 0) this.drained?.();
  }

  private replace(session: SmtpSession): void {
    if (this.closing.signal.aborted) return;
    this.grow();
    // A server that hangs up at once is not called again and again.
    if (session.sent === 0 && session.age < CONNECT_PAUSE) this.fillLater();
    else void this.fill();
  }

  private fillLater(): void {
    this.refill ??= setTimeout(() => {
      this.refill = undefined;
      void this.fill();
    }, CONNECT_PAUSE);
    this.refill.unref();
  }

  /** One kept connection was found dead without a word; the others have rested on the same line. */
  private distrust(): void {
    for (const { session } of [...this.idle]) session.hangUp();
  }

  private failure(reason: unknown): TransportError {
    if (reason instanceof TransportError) return reason;
    const said = reason instanceof Error ? reason.message : 'The send was aborted';
    const reply = this.leasing > 0 ? `${said}; all connections of maxTotalConnections are in use` : said;
    if (this.attempts.size <= this.leasing) return notAsked(this.options.name, reply, { cause: reason });
    return new TransportError(this.options.name, {
      phase: 'connect',
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
