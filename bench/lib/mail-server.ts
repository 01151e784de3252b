import { Remote } from './remote.js';

export interface MailServerOptions {
  /** Milliseconds of silence after which it closes a connection. */
  idleTimeout?: number;
  hidePipelining?: boolean;
}

/** Where and how mail is handed in. */
export interface Relay {
  host: string;
  port: number;
  user: string;
  pass: string;
  /** PEM of the certificate to trust. */
  ca: string;
}

/** An SMTP server with STARTTLS and AUTH, in a process of its own. */
export class MailServer {
  readonly relay: Relay;
  readonly #remote: Remote;

  private constructor(remote: Remote, relay: Relay) {
    this.#remote = remote;
    this.relay = relay;
  }

  static async start(options: MailServerOptions = {}): Promise<MailServer> {
    const remote = await Remote.start(new URL('./mail-server-process.ts', import.meta.url));
    return new MailServer(remote, await remote.ask<Relay>('start', options));
  }

  /** The recipients of all mail it has taken, in that order. */
  recipients(): Promise<string[]> {
    return this.#remote.ask('recipients');
  }
}
