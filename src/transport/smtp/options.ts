import type { SMTPConnectionOptions } from 'nodemailer/lib/smtp-connection';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { Lane } from '../../message/message.js';
import type { DkimSigner } from '../../mime/dkim.js';
import type { SmtpLogin } from './login.js';

/** One SMTP provider, checked. Times are milliseconds. */
export interface SmtpTransportOptions {
  name: string;
  region?: string;
  lanes: readonly Lane[];
  host: string;
  port: number;
  /** TLS from the first byte (`smtps://`). Otherwise STARTTLS where the server offers it. */
  secure: boolean;
  auth?: SmtpLogin;
  dkim?: DkimSigner;
  tls?: ConnectionOptions;
  /** Connections per lane and process. */
  maxConnections: number;
  /** Connections of the priority lane that are kept open, from boot on. */
  minWarm: number;
  /** Messages before a connection is replaced. */
  maxMessages: number;
  /** A connection is replaced after this long. */
  maxAge: number;
  /** A NOOP goes over an unused connection this often; 0 for never. */
  keepAlive: number;
  /** An unused connection beyond `minWarm` is closed after this long. */
  idleTimeout: number;
  /** DNS, TCP, greeting and TLS together. */
  connectTimeout: number;
  /** Of that, the greeting alone. */
  greetingTimeout: number;
  /** Silence of the server after a command. */
  commandTimeout: number;
  /** Silence of the server from the first byte of the message to its answer. */
  bodyTimeout: number;
}

/** `127.0.0.0/8`, `::1` and `localhost`: traffic that does not leave this machine. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1' || host === '[::1]') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

/** The same in nodemailer's words. */
export function connectionOptions(options: SmtpTransportOptions): SMTPConnectionOptions {
  return {
    host: options.host,
    port: options.port,
    secure: options.secure,
    // Credentials do not travel in clear text, except to this machine.
    requireTLS: !options.secure && options.auth !== undefined && !isLoopback(options.host),
    connectionTimeout: options.connectTimeout,
    greetingTimeout: options.greetingTimeout,
    // Until the session is open; then it sets the patience of each step itself.
    socketTimeout: options.commandTimeout,
    socketCloseTimeout: 1_000,
    ...(options.tls ? { tls: options.tls } : {}),
  };
}
