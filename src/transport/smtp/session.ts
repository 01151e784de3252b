import SMTPConnection, { type SMTPConnectionSendInfo } from 'nodemailer/lib/smtp-connection';
import type { Readable } from 'node:stream';
import { oneLine } from '../../message/text.js';
import type { Acceptance, Outgoing, TransportError } from '../transport.js';
import { rejectionOf, transportError, type Progress } from './failure.js';
import { connectionOptions, type SmtpTransportOptions } from './options.js';

const RESET_TIMEOUT = 5_000;
const QUIT_TIMEOUT = 1_000;

/** One authenticated SMTP connection, for one message at a time. */
export class SmtpSession {
  /** Messages handed to it so far; a session that has sent none cannot be stale. */
  sent = 0;
  /** A transaction was refused half-way: `reset()` before the next message. */
  dirty = false;
  private closed = false;
  private onClose: () => void = () => undefined;

  private constructor(
    private readonly connection: SMTPConnection,
    private readonly transport: string,
  ) {
    // nodemailer reports what happened to a message through its callback; here it is enough to know that it is over.
    connection.on('error', () => this.markClosed());
    connection.on('end', () => this.markClosed());
  }

  /** Connects, upgrades to TLS and logs in. @throws TransportError */
  static async open(options: SmtpTransportOptions, signal: AbortSignal): Promise<SmtpSession> {
    const connection = new SMTPConnection(connectionOptions(options));
    const progress: Progress = { phase: 'connect' };
    const session = new SmtpSession(connection, options.name);
    // nodemailer's time-outs are of the connection and the greeting; a server may fall silent after them as well.
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new Error(`Not connected and logged in within ${options.connectTimeout} ms`)),
      options.connectTimeout,
    );
    const either = AbortSignal.any([signal, late.signal]);
    try {
      await session.step(either, (done) => connection.connect((error) => done(error ?? null)));
      if (options.auth) {
        progress.phase = 'auth';
        await session.step(either, (done) => connection.login({ credentials: options.auth! }, done));
      }
      return session;
    } catch (error) {
      session.hangUp();
      throw transportError(options.name, error, progress);
    } finally {
      clearTimeout(timer);
    }
  }

  get usable(): boolean {
    return !this.closed;
  }

  /** Called once, when the connection is gone for whatever reason. */
  whenClosed(listener: () => void): void {
    this.onClose = listener;
    if (this.closed) listener();
  }

  /** @throws TransportError; the session is closed when it could be out of step with the server afterwards */
  async send(outgoing: Outgoing, signal: AbortSignal): Promise<Acceptance> {
    const progress: Progress = { phase: 'mail' };
    this.sent++;
    try {
      const info = await this.step<SMTPConnectionSendInfo>(signal, (done) =>
        this.connection.send(
          { ...outgoing.envelope, to: [...outgoing.envelope.to], size: outgoing.raw.length },
          noticingHandover(outgoing.raw, progress),
          done,
        ),
      );
      return {
        accepted: [...info.accepted],
        rejections: (info.rejectedErrors ?? []).map(rejectionOf),
        response: oneLine(info.response),
        ...(info.serverMessageId === undefined ? {} : { providerId: info.serverMessageId }),
      };
    } catch (error) {
      const failure = transportError(this.transport, error, progress);
      this.dirty = true;
      if (failure.replyCode === 421 || isOpenEnded(failure)) this.hangUp();
      throw failure;
    }
  }

  /** Ends a refused transaction (RFC 5321 §4.1.1.5), so that the next message finds the session clean. */
  async reset(): Promise<void> {
    try {
      await this.step(AbortSignal.timeout(RESET_TIMEOUT), (done) => this.connection.reset(done));
      this.dirty = false;
    } catch {
      this.hangUp();
    }
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

/**
 * nodemailer pipes a stream only after DATA was accepted, which is the one moment that tells "nothing left" from "it may
 * have been accepted". An object with a `pipe` costs no more than a Buffer.
 */
function noticingHandover(raw: Buffer, progress: Progress): Readable {
  const source = {
    pipe(destination: NodeJS.WritableStream): NodeJS.WritableStream {
      progress.phase = 'body';
      destination.end(raw);
      return destination;
    },
  };
  return source as unknown as Readable;
}
