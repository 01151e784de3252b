import type { SMTPConnectionAuth, SMTPConnectionSendInfo } from 'nodemailer/lib/smtp-connection';
import type { Readable } from 'node:stream';
import { oneLine } from '../../message/text.js';
import type { Acceptance, Outgoing, TransportError } from '../transport.js';
import { Connection } from './connection.js';
import { rejectionOf, transportError, type Progress } from './failure.js';
import { connectionOptions, type SmtpTransportOptions } from './options.js';

/** For an answer to NOOP or RSET. */
const CHECK_TIMEOUT = 5_000;
const QUIT_TIMEOUT = 1_000;

/** One authenticated SMTP connection, for one message at a time. */
export class SmtpSession {
  /** Messages handed to it so far. */
  sent = 0;
  /** A transaction was refused half-way: `reset()` before the next message. */
  dirty = false;
  /** The answer to a NOOP or RSET is awaited. */
  asking = false;
  /** Milliseconds of the round trip that was measured last; undefined before the first. */
  roundTrip: number | undefined;
  private readonly openedAt = performance.now();
  private closed = false;
  private gone = false;
  private onClose: () => void = () => undefined;
  private onGone: () => void = () => undefined;

  private constructor(
    private readonly connection: Connection,
    private readonly options: SmtpTransportOptions,
  ) {
    // nodemailer reports what happened to a message through its callback; here it is enough to know that it is over.
    connection.on('error', () => this.markClosed());
    connection.on('end', () => {
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
      await session.step(signal, (done) => connection.connect((error) => done(error ?? null)));
      if (login) {
        progress.phase = 'auth';
        await session.step(signal, (done) => connection.login(login(), done));
      }
      connection.patience(0);
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
  async send(outgoing: Outgoing, signal: AbortSignal, handoverWithin?: number): Promise<Acceptance> {
    const { to } = outgoing.envelope;
    const progress: Progress = { phase: 'mail' };
    const limit = handoverWithin === undefined ? undefined : new AbortController();
    const timer = limit && setTimeout(() => limit.abort(new SilentServer(handoverWithin!)), handoverWithin);
    const begun = performance.now();
    this.sent++;
    this.connection.patience(this.options.commandTimeout);
    try {
      const info = await this.step<SMTPConnectionSendInfo>(
        limit ? AbortSignal.any([signal, limit.signal]) : signal,
        (done) =>
          this.connection.send(
            { ...outgoing.envelope, to: [...to], size: outgoing.headers.length + outgoing.body.length },
            atHandover(outgoing, () => {
              clearTimeout(timer);
              progress.phase = 'body';
              this.roundTrip = (performance.now() - begun) / (this.connection.pipelining ? 1 : 2 + to.length);
              this.connection.patience(this.options.bodyTimeout);
            }),
            done,
          ),
      );
      this.connection.patience(0);
      return {
        accepted: [...info.accepted],
        rejections: (info.rejectedErrors ?? []).map(rejectionOf),
        response: oneLine(info.response),
        ...(info.serverMessageId === undefined ? {} : { providerId: info.serverMessageId }),
      };
    } catch (error) {
      const failure = transportError(this.options.name, error, progress);
      this.dirty = true;
      if (failure.replyCode === 421 || isOpenEnded(failure)) this.hangUp();
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends a refused transaction (RFC 5321 §4.1.1.5), so that the next message finds the session clean. */
  async reset(): Promise<void> {
    await this.ask((done) => this.connection.reset(done));
    this.dirty = false;
  }

  /** Whether it keeps the process from ending. */
  hold(held: boolean): void {
    this.connection.hold(held);
  }

  /** Keeps the connection from falling idle, measures the round trip, and closes it if the server does not answer. */
  async check(): Promise<void> {
    const begun = performance.now();
    await this.ask((done) => this.connection.noop(done));
    if (this.usable) this.roundTrip = performance.now() - begun;
  }

  /** Says goodbye, and hangs up if the server has not answered within a second. */
  quit(): void {
    if (this.closed) return;
    this.connection.quit();
    this.markClosed();
    setTimeout(() => this.connection.close(), QUIT_TIMEOUT).unref();
  }

  hangUp(): void {
    this.connection.close();
    this.markClosed();
  }

  private async ask(run: (done: (error: Error | null) => void) => void): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new SilentServer(CHECK_TIMEOUT)), CHECK_TIMEOUT);
    timer.unref();
    this.asking = true;
    try {
      await this.step(late.signal, run);
    } catch {
      this.hangUp();
    } finally {
      this.asking = false;
      clearTimeout(timer);
    }
  }

  /** One step of the conversation as a promise that the signal and the end of the connection can also settle. */
  private step<T>(signal: AbortSignal, run: (done: (error: Error | null, result?: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = (action: () => void): void => {
        signal.removeEventListener('abort', abort);
        this.connection.removeListener('error', failed);
        this.connection.removeListener('end', ended);
        action();
      };
      const abort = (): void => settle(() => reject(signal.reason as Error));
      // 'error' comes first and says why; 'end' alone is a server that closed without a word.
      const failed = (error: Error): void => settle(() => reject(error));
      // After a 421 nodemailer closes first and calls back afterwards, with the server's words.
      const ended = (): void =>
        queueMicrotask(() => settle(() => reject(new Error('The server closed the connection'))));
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.connection.once('error', failed);
      this.connection.once('end', ended);
      run((error, result) => settle(() => (error ? reject(error) : resolve(result as T))));
    });
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

/**
 * nodemailer pipes a stream only after DATA was accepted, which is the one moment that tells "nothing left" from "it may
 * have been accepted". An object with a `pipe` costs no more than a Buffer.
 */
function atHandover({ headers, body }: Outgoing, handover: () => void): Readable {
  const source = {
    pipe(destination: NodeJS.WritableStream): NodeJS.WritableStream {
      handover();
      destination.write(headers);
      destination.end(body);
      return destination;
    },
  };
  return source as unknown as Readable;
}
