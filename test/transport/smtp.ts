import { onTestFinished } from 'vitest';
import { LANES, type Lane } from '../../src/message/message.js';
import type { SmtpTransportOptions } from '../../src/transport/smtp/options.js';
import { SmtpTransport } from '../../src/transport/smtp/transport.js';
import { TransportError, type Acceptance, type Outgoing } from '../../src/transport/transport.js';

/** The options of a transport for this URL, with the defaults of the module. */
export function smtpOptions(url: string, options: Partial<SmtpTransportOptions> = {}): SmtpTransportOptions {
  const { hostname, port, protocol, username, password } = new URL(url);
  return {
    name: 'main',
    host: hostname,
    port: Number(port),
    secure: protocol === 'smtps:',
    lanes: LANES,
    maxConnections: 5,
    minWarm: 0,
    keepAlive: 20_000,
    idleTimeout: 60_000,
    maxAge: 15 * 60_000,
    maxMessages: 1_000,
    connectTimeout: 10_000,
    greetingTimeout: 10_000,
    commandTimeout: 30_000,
    bodyTimeout: 60_000,
    ...(username ? { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } } : {}),
    ...options,
  };
}

/** A transport to this URL, closed when the test ends. */
export function smtpTransport(url: string, options: Partial<SmtpTransportOptions> = {}): SmtpTransport {
  const transport = new SmtpTransport(smtpOptions(url, options));
  onTestFinished(() => transport.close(0));
  return transport;
}

/** A message to these recipients; its subject names it. */
export function mail(subject = 'Hello', to: string[] = ['ann@mail.test']): Outgoing {
  const headers = Buffer.from(`From: shop@shop.test\r\nTo: ${to.join(', ')}\r\nSubject: ${subject}\r\n\r\n`);
  return { envelope: { from: 'shop@shop.test', to }, headers, body: [Buffer.from('Hello\r\n')] };
}

export const subjectOf = (raw: Buffer | string): string => /^Subject: (.*)$/m.exec(raw.toString())?.[1]?.trim() ?? '';

/** Sends and forgets about deadlines. */
export function send(
  transport: SmtpTransport,
  outgoing: Outgoing = mail(),
  { lane = 'priority', signal = new AbortController().signal }: { lane?: Lane; signal?: AbortSignal } = {},
): Promise<Acceptance> {
  return transport.send(outgoing, { lane, signal });
}

/** The error that sending ended with. */
export async function failure(sending: Promise<unknown>): Promise<TransportError> {
  const result: unknown = await sending.then(
    () => new Error('It was sent'),
    (error: unknown) => error,
  );
  if (result instanceof TransportError) return result;
  throw result;
}

/** Something that is held back until it is opened. */
export class Gate {
  waiting = 0;
  #open!: () => void;
  readonly #opened = new Promise<void>((resolve) => (this.#open = resolve));

  async pass(): Promise<void> {
    this.waiting++;
    await this.#opened;
  }

  open(): void {
    this.#open();
  }
}
