import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { type Certificate, selfSignedCertificate } from './certificate.js';
import { atEnd } from './cleanup.js';
import { Listener } from './listener.js';

export interface ReceivedMessage {
  /** Envelope sender; `''` for the null sender. */
  from: string;
  /** Envelope recipients that were accepted. */
  to: string[];
  /** The message as it came, dots unstuffed. */
  raw: Buffer;
  /** When its last byte had come; milliseconds since the epoch. */
  at: number;
  /** Number of the connection it came over, from 1. */
  connection: number;
}

/** A reply that refuses. */
export interface Refusal {
  code: number;
  text: string;
}

type Verdict = Refusal | undefined | void | Promise<Refusal | undefined | void>;

export interface SmtpServerOptions {
  /** Demands these credentials; default none. */
  auth?: { user: string; pass: string };
  /** `starttls` offers the upgrade, `implicit` speaks TLS from the first byte; default neither. */
  tls?: 'starttls' | 'implicit';
  hidePipelining?: boolean;
  /** The announced limit of a message in bytes; larger ones are refused with 552. Default none. */
  maxBytes?: number;
  /** Milliseconds to wait before a message is answered; default 0. */
  delay?: number;
  /** Milliseconds of silence after which a connection is closed with a 421; default 60,000. */
  idleTimeout?: number;
  onMail?: (address: string, session: SMTPServerSession) => Verdict;
  onRcpt?: (address: string, session: SMTPServerSession) => Verdict;
  /** Sees a complete message before it is answered; a refused one is not recorded. */
  onData?: (message: ReceivedMessage) => Verdict;
}

/** An SMTP server of the test's own, recording what it accepts; stopped when the test file ends. */
export class TestSmtpServer {
  readonly received: ReceivedMessage[] = [];
  /** Connections taken so far, closed ones included. */
  connections = 0;
  readonly url: string;
  readonly port: number;
  /** What clients must trust to verify this server; absent without TLS. */
  readonly certificate: Certificate | undefined;
  readonly #server: SMTPServer;
  readonly #listener: Listener;

  constructor(server: SMTPServer, listener: Listener, url: string, certificate: Certificate | undefined) {
    this.#server = server;
    this.#listener = listener;
    this.url = url;
    this.port = listener.port;
    this.certificate = certificate;
  }

  /** Connections open now. */
  get open(): number {
    return this.#server.connections.size;
  }

  /** Forgets what was received. */
  clear(): void {
    this.received.length = 0;
  }

  /** Shows this certificate to new connections. */
  present({ key, cert }: Certificate): void {
    this.#server.updateSecureContext({ key, cert });
  }

  /** Refuses new connections; those that are open go on. */
  pause(): void {
    this.#listener.pause();
  }

  resume(): Promise<void> {
    return this.#listener.resume();
  }

  /** Closes every connection without a word and listens no more; {@link resume} brings it back. */
  async stop(): Promise<void> {
    this.#listener.pause();
    for (const connection of this.#server.connections) connection.close();
  }
}

/**
 * Greets at once. As it comes, smtp-server first listens 100 ms for clients that talk too soon, which is long for tests
 * with many connections and, as it takes the global setTimeout for it, for ever for those with a fake clock.
 */
class PromptSmtpServer extends SMTPServer {
  override connect(...[socket, options]: Parameters<SMTPServer['connect']>): void {
    const connection = new SMTPConnection(this, socket, options);
    this.connections.add(connection);
    connection.on('error', (error: Error) => this.emit('error', error));
    connection._setListeners(() => connection.connectionReady());
  }
}

export async function startSmtpServer(options: SmtpServerOptions = {}): Promise<TestSmtpServer> {
  const { auth, tls, onMail, onRcpt, onData } = options;
  const certificate = tls && selfSignedCertificate();
  const numbers = new Map<string, number>();

  const smtp = new PromptSmtpServer({
    ...certificate,
    secure: tls === 'implicit',
    disabledCommands: [...(tls === 'starttls' ? [] : ['STARTTLS']), ...(auth ? [] : ['AUTH'])],
    authOptional: !auth,
    allowInsecureAuth: true,
    hidePIPELINING: options.hidePipelining,
    size: options.maxBytes,
    rejectOversized: true,
    disableReverseLookup: true,
    socketTimeout: options.idleTimeout,
    logger: false,

    onConnect(session, callback) {
      numbers.set(session.id, ++server.connections);
      callback();
    },
    onAuth({ username, password }, _session, callback) {
      if (username === auth?.user && password === auth?.pass) callback(null, { user: username });
      else callback(refusal({ code: 535, text: '5.7.8 Authentication credentials invalid' }));
    },
    onMailFrom({ address }, session, callback) {
      judge(() => onMail?.(address, session), callback);
    },
    onRcptTo({ address }, session, callback) {
      judge(() => onRcpt?.(address, session), callback);
    },
    onData(stream, session, callback) {
      judge(async () => {
        const raw = await buffer(stream);
        if (stream.sizeExceeded) return;
        const message: ReceivedMessage = {
          from: session.envelope.mailFrom ? session.envelope.mailFrom.address : '',
          to: session.envelope.rcptTo.map(({ address }) => address),
          raw,
          at: Date.now(),
          connection: numbers.get(session.id) ?? 0,
        };
        if (options.delay) await sleep(options.delay);
        const verdict = await onData?.(message);
        if (!verdict) server.received.push(message);
        return verdict;
      }, callback);
    },
  });
  // A client that goes away in the middle of something is what many tests are about.
  smtp.on('error', () => undefined);

  const listener = await Listener.open(smtp.server);
  const login = auth ? `${encodeURIComponent(auth.user)}:${encodeURIComponent(auth.pass)}@` : '';
  const url = `${tls === 'implicit' ? 'smtps' : 'smtp'}://${login}127.0.0.1:${listener.port}`;
  const server = new TestSmtpServer(smtp, listener, url, certificate);
  atEnd(() => server.stop());
  return server;
}

function judge(verdict: () => Verdict, callback: (error?: Error | null) => void): void {
  void (async () => verdict())().then(
    (refused) => callback(refused ? refusal(refused) : null),
    (error: unknown) => callback(refusal({ code: 451, text: `The test's handler failed: ${String(error)}` })),
  );
}

function refusal({ code, text }: Refusal): Error {
  return Object.assign(new Error(text), { responseCode: code });
}
