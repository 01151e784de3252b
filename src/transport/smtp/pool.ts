import { setMaxListeners } from 'node:events';
import { reasonOf } from '../../errors.js';
import {
  notAsked,
  TransportError,
  type Acceptance,
  type Outgoing,
  type SendOptions,
  type TransportMonitor,
} from '../transport.js';
import { WaitingLine } from '../waiting-line.js';
import { Dialer, type DialSettings } from './dialer.js';
import { InAdvance } from './in-advance.js';
import type { SmtpTransportOptions } from './options.js';
import type { ReplyTimes } from './reply-times.js';
import type { SmtpSession } from './session.js';

interface Idle {
  session: SmtpSession;
  /** Milliseconds since it carried its last message, as of the last look at it. */
  unused: number;
  timer: NodeJS.Timeout;
}

export interface PoolSettings extends DialSettings {
  /** Connections that are kept open once the pool has been started. */
  minWarm: number;
  /** A message may begin while the one before it is being answered, where the server takes commands in advance. */
  inAdvance: boolean;
  /** Told how long each message's reply took. */
  replies: ReplyTimes;
}

/**
 * No new connection is tried for this long after one failed while others still work, or after one that carried no message
 * ended sooner than that.
 */
const CONNECT_PAUSE = 1_000;
/** A connection that is kept without NOOP is looked at this often, whether it is worn. */
const LOOK_AT_LEAST = 60_000;
/** A kept connection gets a successor when it has used up this much of its age or messages. */
const WORN = 0.9;
/** Postfix counts more than 100 NOOPs between two messages as errors (`smtpd_junk_command_limit`). */
const MAX_NOOPS = 60;

/**
 * Kept-open connections of one transport and lane. A message takes whichever connection is free first, an idle one or
 * one that has just been opened; it never waits for a cold one when a warm one frees.
 */
export class SmtpPool {
  private readonly idle: Idle[] = [];
  /** With the number of messages they carry: one, or another one's envelope behind a body that is being answered. */
  private readonly busy = new Map<SmtpSession, number>();
  /** With a NOOP under way. */
  private readonly checking = new Set<SmtpSession>();
  /** A successor is being opened, or is there. */
  private readonly succeeded = new WeakSet<SmtpSession>();
  private readonly line = new WaitingLine<SmtpSession>();
  private readonly closing = new AbortController();
  private readonly dialer: Dialer;
  private pausedUntil = 0;
  private refill: NodeJS.Timeout | undefined;
  private minWarm = 0;
  private readonly inAdvance: InAdvance;
  private monitor: TransportMonitor | undefined;
  private drained: (() => void) | undefined;

  constructor(
    private readonly options: SmtpTransportOptions,
    private readonly settings: PoolSettings,
  ) {
    setMaxListeners(0, this.closing.signal);
    this.inAdvance = new InAdvance(settings.inAdvance);
    this.dialer = new Dialer(options, settings, this.closing.signal, (session, how) => this.gone(session, how));
  }

  /** Opens the connections that are kept, and keeps them. Resolves when they are open or have failed. */
  async start(monitor: TransportMonitor): Promise<void> {
    this.monitor = monitor;
    this.minWarm = this.settings.minWarm;
    await this.fill();
  }

  /** @throws TransportError */
  async send(
    outgoing: Outgoing,
    { signal, handoverWithin, stillWanted, mayHandOver }: Omit<SendOptions, 'lane'>,
  ): Promise<Acceptance> {
    // Many messages may share one; Node would take their listeners for a leak.
    setMaxListeners(0, signal);
    const handoverBy = handoverWithin === undefined ? undefined : performance.now() + handoverWithin;
    const left = (): number | undefined => handoverBy && Math.max(0, handoverBy - performance.now());
    for (;;) {
      const { session, kept } = await this.acquire(signal, left());
      const early = this.busy.get(session)! > 1;
      try {
        if (stillWanted?.() === false) throw notAsked(this.options.name, 'It was no longer wanted');
        const within = left();
        // A kept connection may be dead without a sign of it: half of the time is left for a fresh one.
        const acceptance = await session.send(outgoing, signal, kept && within !== undefined ? within / 2 : within, {
          onReply: (milliseconds) => this.settings.replies.add(milliseconds),
          ...(mayHandOver ? { mayHandOver } : {}),
          ...(this.inAdvance.allowed ? { onHandover: () => this.invite(session) } : {}),
        });
        if (early) this.inAdvance.worked();
        else this.measured(session);
        return acceptance;
      } catch (error) {
        if (signal.aborted || !wasNotTaken(error)) throw error;
        const tooEarly = early && this.inAdvance.failed(error, wasCut(error, session));
        // The server ends connections that it finds idle or used up. It took nothing, so a connection that has carried no
        // message yet gets the same message once.
        if (!kept || !(tooEarly || isStale(error, session))) throw error;
        if (error.replyCode === undefined) this.distrust();
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

  get hasIdle(): boolean {
    return this.idle.length > 0;
  }

  /** Messages are on their way. */
  get isBusy(): boolean {
    return this.busy.size > 0;
  }

  /** Milliseconds of a NOOP over an idle connection, or a new one that is then idle. @throws TransportError */
  async ping(signal: AbortSignal): Promise<number> {
    const free = this.idle.pop();
    clearTimeout(free?.timer);
    if (!free && this.dialer.vacant <= 0) throw notAsked(this.options.name, 'No connection was free for a NOOP');
    const session = free?.session ?? (await this.open(signal));
    const begun = performance.now();
    if (await this.check(session, free?.unused, signal)) return performance.now() - begun;
    throw this.notConnected(signal.aborted ? reasonOf(signal.reason) : 'It did not answer a NOOP', signal.reason);
  }

  /** Opens a connection, which is kept if one is missing. @throws TransportError */
  async verify(signal: AbortSignal): Promise<void> {
    // Where there may be no more, one that is open must do.
    if (this.dialer.vacant <= 0 && (await this.works())) return;
    const session = await this.open(signal);
    await session.check();
    if (!session.usable) throw this.notConnected('It took the login, and did not answer a NOOP');
    this.measured(session);
    if (this.alive >= this.minWarm) return session.quit();
    this.settle(session);
    void this.fill();
  }

  /** Lets messages in flight finish for at most `within` milliseconds, then hangs up. */
  async close(within: number): Promise<void> {
    this.minWarm = 0;
    clearTimeout(this.refill);
    this.closing.abort(new Error(`The mail transport ${this.options.name} is closing`));
    this.line.dismiss(this.closing.signal.reason as Error);
    for (const { session } of [...this.idle]) session.quit();
    for (const session of [...this.checking]) session.hangUp();
    if (this.busy.size === 0) return;
    await new Promise<void>((resolve) => {
      this.drained = resolve;
      setTimeout(resolve, within).unref();
    });
    for (const session of this.busy.keys()) session.hangUp();
  }

  private async open(signal: AbortSignal): Promise<SmtpSession> {
    try {
      return await this.dialer.open(AbortSignal.any([signal, this.closing.signal]));
    } catch (error) {
      throw error instanceof TransportError ? error : notAsked(this.options.name, reasonOf(error), { cause: error });
    }
  }

  private get alive(): number {
    return this.dialer.dialling + this.busy.size + this.checking.size + this.idle.length;
  }

  private async acquire(signal: AbortSignal, within?: number): Promise<{ session: SmtpSession; kept: boolean }> {
    if (this.closing.signal.aborted) throw this.failure(this.closing.signal.reason);
    if (signal.aborted) throw this.failure(signal.reason);
    const free = this.idle.pop();
    if (free) {
      clearTimeout(free.timer);
      free.session.hold(true);
      this.busy.set(free.session, 1);
      return { session: free.session, kept: true };
    }
    const session = await this.wait(signal, within);
    return { session, kept: session.sent > 0 };
  }

  private async wait(signal: AbortSignal, within?: number): Promise<SmtpSession> {
    const turn = this.line.wait({
      signal,
      within,
      onHalf: () => this.insist(),
      onLeave: (since) => this.dialer.giveUp(since, this.line.length),
    });
    this.grow();
    try {
      return await turn;
    } catch (error) {
      throw this.failure(error);
    }
  }

  /** A message has waited for half of its time: what hangs makes way, and the other half is for a fresh connection. */
  private insist(): void {
    if (this.dialer.vacant > 0 || this.dialer.promising > 0) return this.grow();
    // One of them takes the place: a NOOP or RSET without an answer, or an attempt.
    const silent = [...this.checking, ...this.busy.keys()].find((session) => session.asking);
    if (silent) silent.hangUp();
    else this.dialer.giveUpOldest();
  }

  /** Opens connections while messages wait that no connection under way will serve. */
  private grow(): void {
    while (
      this.line.length > this.dialer.promising &&
      this.dialer.vacant > 0 &&
      (Date.now() >= this.pausedUntil || this.dialer.dialling + this.busy.size === 0)
    ) {
      void this.connect();
    }
  }

  /** Opens what is missing of the connections that are kept. */
  private async fill(): Promise<void> {
    const missing = this.closing.signal.aborted ? 0 : Math.min(this.dialer.vacant, this.minWarm - this.alive);
    await Promise.all(Array.from({ length: Math.max(0, missing) }, () => this.connect()));
  }

  private async connect(): Promise<void> {
    let session: SmtpSession | undefined;
    try {
      session = await this.dialer.dial();
    } catch (error) {
      return this.connectFailed(error as Error);
    }
    if (!session) return this.grow();
    // Nobody waits for it: its round trip can be measured before somebody does.
    if (this.line.length === 0) await this.check(session);
    else this.settle(session);
  }

  private connectFailed(error: Error): void {
    this.pausedUntil = Date.now() + CONNECT_PAUSE;
    if (this.closing.signal.aborted) return;
    const others = this.busy.size + this.checking.size + this.dialer.dialling;
    if (this.line.length === 0) this.monitor?.connectFailed(this.failure(error));
    // A provider that limits connections refuses one more: the messages then wait for those that are open.
    if (others === 0) this.line.dismiss(error);
    else this.growLater();
  }

  private async check(session: SmtpSession, unused = 0, signal?: AbortSignal): Promise<boolean> {
    this.checking.add(session);
    const answered = await session.check(signal);
    if (!this.checking.delete(session)) return answered;
    this.measured(session);
    this.settle(session, unused);
    return answered;
  }

  /** A body has left over this connection: the first that waits may say over it whom it is from and for. */
  private invite(session: SmtpSession): boolean {
    const { maxMessages, maxAge } = this.options;
    const worn = session.sent >= maxMessages || session.age >= maxAge;
    if (!this.inAdvance.allowed || worn || !session.usable || this.line.length === 0) return false;
    this.busy.set(session, this.busy.get(session)! + 1);
    return this.line.serve(session);
  }

  private release(session: SmtpSession): void {
    const messages = this.busy.get(session);
    if (messages === undefined) return;
    if (messages > 1) return void this.busy.set(session, messages - 1);
    if (session.usable && session.dirty) return void session.reset().then(() => this.release(session));
    this.busy.delete(session);
    this.settle(session);
    if (this.busy.size === 0) this.drained?.();
  }

  /** A connection that has nothing to do: the next message's, or kept, or at its end. */
  private settle(session: SmtpSession, unused = 0): void {
    const { maxMessages, maxAge } = this.options;
    const wear = Math.max(session.sent / maxMessages, session.age / maxAge, session.noops / MAX_NOOPS);
    // It is not among the living while it is looked at; its successor may still be on its way.
    const others = this.alive - this.dialer.dialling;
    const outdated = wear >= 1 || (this.succeeded.has(session) && others >= this.minWarm);
    if (!session.usable || this.closing.signal.aborted || outdated) return session.quit();
    if (wear >= WORN) this.succeed(session);
    if (this.line.length === 0) return this.rest(session, unused);
    session.hold(true);
    this.busy.set(session, 1);
    this.line.serve(session);
  }

  /** Opens the successor of a kept connection before it has to go, so that no message waits for a cold one. */
  private succeed(session: SmtpSession): void {
    if (this.succeeded.has(session) || this.alive >= this.minWarm || this.dialer.vacant <= 0) return;
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

  private measured({ roundTrip }: SmtpSession): void {
    if (roundTrip === undefined) return;
    this.dialer.roundTrip = roundTrip;
    this.monitor?.roundTrip(roundTrip);
  }

  /** A connection has come to its end, and then has left its place for another. */
  private gone(session: SmtpSession, how: 'closed' | 'gone'): void {
    if (how === 'closed') this.forget(session);
    if (this.closing.signal.aborted) return;
    this.grow();
    // A server that hangs up at once is not called again and again.
    if (session.sent === 0 && session.age < CONNECT_PAUSE) this.growLater();
    else void this.fill();
  }

  private forget(session: SmtpSession): void {
    this.busy.delete(session);
    this.checking.delete(session);
    const index = this.idle.findIndex((entry) => entry.session === session);
    if (index >= 0) clearTimeout(this.idle.splice(index, 1)[0]!.timer);
    if (this.busy.size === 0) this.drained?.();
  }

  private growLater(): void {
    this.refill ??= setTimeout(() => {
      this.refill = undefined;
      this.grow();
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
    const reply = this.dialer.waitsForLeave ? `${said}; all connections of maxTotalConnections are in use` : said;
    if (this.dialer.asksNobody) return notAsked(this.options.name, reply, { cause: reason });
    return this.notConnected(reply, reason);
  }

  private notConnected(reply: string, cause?: unknown): TransportError {
    return new TransportError(this.options.name, {
      phase: 'connect',
      outcome: 'not-sent',
      permanent: false,
      scope: 'transport',
      reply,
      cause,
    });
  }
}

/** By the server: a message that nobody wants any more is `not-sent` as well, and is not to be tried again. */
function wasNotTaken(error: unknown): error is TransportError {
  return error instanceof TransportError && error.outcome === 'not-sent' && error.phase !== 'queue';
}

function isStale({ replyCode }: TransportError, session: SmtpSession): boolean {
  return replyCode === 421 || (replyCode === undefined && !session.usable);
}

/** The server answered the message before, and closed the connection on this very one. */
function wasCut(error: TransportError, session: SmtpSession): boolean {
  return isStale(error, session) && !session.endedInAnswer;
}
