import type { SMTPConnectionAuth } from 'nodemailer/lib/smtp-connection';
import type { Socket } from 'node:net';
import { notAsked, type Acceptance, type Outgoing, type TransportError } from '../transport.js';
import { Connection } from './connection.js';
import { Dialogue, type Reply } from './dialogue.js';
import { rejectionOf, transportError, type Progress } from './failure.js';
import { connectionOptions, type SmtpTransportOptions } from './options.js';
import { providerIdOf } from './provider-id.js';
import { OutOfStep, TooEarly, transact, type Capabilities, type Handover, type Taken } from './transaction.js';

/** For an answer to NOOP or RSET. */
const CHECK_TIMEOUT = 5_000;
const QUIT_TIMEOUT = 1_000;

type Done<T> = (error: Error | null, result?: T) => void;

/** What is heard and said once the session is open. */
interface Line {
  socket: Socket;
  server: Capabilities;
  dialogue: Dialogue;
}

/** What a message's sender is asked and told while it is on its way. */
export interface SendHooks {
  /** Asked right before the body leaves; false ends the attempt, and the connection with it. */
  mayHandOver?: () => boolean;
  /** The body has left, and the answer is awaited: another message may begin. Returns whether one does, in this turn. */
  onHandover?: () => boolean;
  /** The server has answered the body after so many milliseconds, whatever it said. */
  onReply?: (milliseconds: number) => void;
}

/**
 * One authenticated SMTP connection. It carries one message at a time; where the server takes commands in advance, the
 * next one's envelope may follow the body that is still being answered.
 */
export class SmtpSession {
  /** Messages handed to it so far. */
  sent = 0;
  /** NOOPs since the last message. */
  noops = 0;
  /** A transaction was refused half-way: `reset()` before the next message. */
  dirty = false;
  /** The answer to a NOOP or RSET is awaited. */
  asking = false;
  /** Milliseconds of the round trip that was measured last; undefined before the first. */
  roundTrip: number | undefined;
  private readonly openedAt = performance.now();
  private closed = false;
  private gone = false;
  private line!: Line;
  /** End the steps under way, which nothing else can. */
  private readonly interrupts = new Set<(error: Error) => void>();
  /** Bodies that are being answered: two when the answer to one and the 354 to the next were read together. */
  private answering = 0;
  /** It ended while a body was being answered: whatever came behind that says nothing of the server. */
  endedInAnswer = false;
  private onClose: () => void = () => undefined;
  private onGone: () => void = () => undefined;

  private constructor(
    private readonly connection: Connection,
    private readonly options: SmtpTransportOptions,
  ) {
    // 'error' comes first and says why; 'end' alone is a server that closed without a word.
    connection.on('error', (error: Error) => {
      this.interruptAll(error);
      this.markClosed();
    });
    connection.on('end', () => {
      // Its last words are for who awaits the next reply; the others heard nothing.
      this.line?.dialogue.finish();
      this.interruptAll(hungUp());
      this.markClosed();
      this.gone = true;
      this.onGone();
    });
  }

  /** Connects, upgrades to TLS and logs in. @throws TransportError */
  static async open(
    options: SmtpTransportOptions,
    login: (() => SMTPConnectionAuth) | undefined,
    signal: AbortSignal,
  ): Promise<SmtpSession> {
    const connection = new Connection(connectionOptions(options));
    const progress: Progress = { phase: 'connect' };
    const session = new SmtpSession(connection, options);
    try {
      await session.step<void>(signal, (done) => connection.connect((error) => done(error ?? null)));
      if (login) {
        progress.phase = 'auth';
        await session.step<unknown>(signal, (done) => connection.login(login(), done));
      }
      session.goOn();
      return session;
    } catch (error) {
      session.hangUp();
      throw transportError(options.name, error, progress);
    }
  }

  get usable(): boolean {
    return !this.closed;
  }

  /** Called once, when it is not to be used any more, for whatever reason. */
  whenClosed(listener: () => void): void {
    this.onClose = listener;
    if (this.closed) listener();
  }

  /** Called once, after that, when the server has said goodbye as well, or has not within a second. */
  whenGone(listener: () => void): void {
    this.onGone = listener;
    if (this.gone) listener();
  }

  /** Milliseconds since it was opened. */
  get age(): number {
    return performance.now() - this.openedAt;
  }

  /**
   * @param handoverWithin milliseconds for the server to ask for the body
   * @throws TransportError; the session is closed when it could be out of step with the server afterwards
   */
  async send(
    outgoing: Outgoing,
    signal: AbortSignal,
    handoverWithin?: number,
    { mayHandOver, onHandover, onReply }: SendHooks = {},
  ): Promise<Acceptance> {
    const { to } = outgoing.envelope;
    const progress: Progress = { phase: 'mail', recipients: to.length };
    const limit = handoverWithin === undefined ? undefined : new AbortController();
    const timer = limit && setTimeout(() => limit.abort(new SilentServer(handoverWithin!)), handoverWithin);
    const begun = performance.now();
    let handedOver = begun;
    const { socket, server, dialogue } = this.line;
    this.sent++;
    this.noops = 0;
    const inAdvance = this.answering > 0;
    if (!inAdvance) socket.setTimeout(this.options.commandTimeout);
    const handover: Handover = {
      begin: () => {
        if (mayHandOver?.() === false) return false;
        clearTimeout(timer);
        progress.phase = 'body';
        progress.unfinished = true;
        handedOver = performance.now();
        if (!inAdvance) this.roundTrip = (handedOver - begun) / (server.pipelining ? 1 : 2 + to.length);
        socket.setTimeout(this.options.bodyTimeout);
        this.answering++;
        return true;
      },
      mayLeave: () => mayHandOver?.() !== false,
      written: () => {
        progress.unfinished = false;
        return server.pipelining && (onHandover?.() ?? false);
      },
    };
    try {
      const { accepted, refusals, response } = await this.step<Taken>(
        limit ? AbortSignal.any([signal, limit.signal]) : signal,
        (done) => transact(dialogue, server, outgoing, handover, done),
      );
      onReply?.(performance.now() - handedOver);
      const providerId = providerIdOf(response, this.options.host);
      return {
        accepted,
        rejections: refusals.map((refusal) => rejectionOf(refusal, to.length)),
        response,
        ...(providerId === undefined ? {} : { providerId }),
      };
    } catch (caught) {
      // It says that it has the message.
      if (caught instanceof TooEarly) progress.unfinished = false;
      const outOfStep = caught instanceof OutOfStep;
      const failure =
        outOfStep && !caught.refusal
          ? notAsked(this.options.name, caught.message)
          : transportError(this.options.name, outOfStep ? caught.refusal : caught, progress);
      if (progress.phase === 'body' && failure.replyCode !== undefined) onReply?.(performance.now() - handedOver);
      // After a body there is no transaction left to end (RFC 5321 §4.1.1.4).
      this.dirty ||= progress.phase !== 'body';
      if (outOfStep || failure.replyCode === 421 || isOpenEnded(failure)) this.hangUp();
      throw failure;
    } finally {
      clearTimeout(timer);
      if (progress.phase === 'body') this.answering--;
      socket.setTimeout(this.patience);
    }
  }

  /** Ends a refused transaction (RFC 5321 §4.1.1.5), so that the next message finds the session clean. */
  async reset(): Promise<void> {
    await this.ask('RSET');
    this.dirty = false;
  }

  /** Whether it keeps the process from ending. */
  hold(held: boolean): void {
    if (held) this.line.socket.ref();
    else this.line.socket.unref();
  }

  /**
   * Keeps the connection from falling idle, measures the round trip, and closes it if the server does not answer.
   *
   * @param signal how long to wait for the answer; default five seconds
   * @returns whether it has answered
   */
  async check(signal?: AbortSignal): Promise<boolean> {
    const begun = performance.now();
    this.noops++;
    const answered = await this.ask('NOOP', signal);
    if (answered) this.roundTrip = performance.now() - begun;
    return answered;
  }

  /** Says goodbye, and hangs up if the server has not answered within a second. */
  quit(): void {
    if (this.closed) return;
    this.line.dialogue.say('QUIT\r\n', () => this.connection.close());
    this.markClosed();
    setTimeout(() => this.connection.close(), QUIT_TIMEOUT).unref();
  }

  hangUp(): void {
    this.connection.close();
    this.line?.dialogue.end();
    this.markClosed();
  }

  /** Milliseconds that the server may be silent for, when a message has ended: another may have begun. */
  private get patience(): number {
    const { bodyTimeout, commandTimeout } = this.options;
    if (this.answering > 0) return bodyTimeout;
    return this.interrupts.size > 0 ? commandTimeout : 0;
  }

  /** nodemailer has done its part. */
  private goOn(): void {
    const { socket, server } = this.connection.takeOver();
    socket.setTimeout(0);
    this.line = { socket, server, dialogue: new Dialogue(socket, (reply) => this.unasked(reply)) };
  }

  private unasked({ text }: Reply): void {
    this.interruptAll(new Error(`Unexpected reply: ${text}`));
    this.hangUp();
  }

  private async ask(command: 'NOOP' | 'RSET', signal?: AbortSignal): Promise<boolean> {
    const late = new AbortController();
    const timer = signal ? undefined : setTimeout(() => late.abort(new SilentServer(CHECK_TIMEOUT)), CHECK_TIMEOUT);
    timer?.unref();
    this.asking = true;
    try {
      await this.step<void>(signal ?? late.signal, (done) =>
        this.line.dialogue.say(`${command}\r\n`, ({ code, text }) => done(code < 300 ? null : new Error(text))),
      );
      return true;
    } catch {
      this.hangUp();
      return false;
    } finally {
      this.asking = false;
      clearTimeout(timer);
    }
  }

  /** One step of the conversation as a promise that the signal and the end of the connection can also settle. */
  private step<T>(signal: AbortSignal, run: (done: Done<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settled = false;
      const settle: Done<T> = (error, result) => {
        if (settled) return;
        settled = true;
        signal.removeEventListener('abort', abort);
        this.interrupts.delete(settle);
        if (error) reject(error);
        else resolve(result as T);
      };
      const abort = (): void => settle(signal.reason as Error);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.interrupts.add(settle);
      if (this.closed) settle(hungUp());
      else run(settle);
    });
  }

  private interruptAll(error: Error): void {
    this.endedInAnswer ||= this.answering > 0;
    for (const interrupt of [...this.interrupts]) interrupt(error);
  }

  private markClosed(): void {
    if (this.closed) return;
    this.closed = true;
    this.onClose();
  }
}

/** No answer has come, so one could still come. A message that was not even begun is over. */
function isOpenEnded(failure: TransportError): boolean {
  return failure.replyCode === undefined && !failure.permanent;
}

class SilentServer extends Error {
  constructor(milliseconds: number) {
    super(`The server did not answer within ${Math.round(milliseconds)} ms`);
  }
}

function hungUp(): Error {
  return new Error('The server closed the connection');
}
