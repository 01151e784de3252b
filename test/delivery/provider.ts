import type { SmtpTransportConfig } from '../../src/nest/options/types.js';
import type { Certificate } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from '../support/scripted-smtp.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { subjectOf } from '../transport/smtp.js';

export interface ProviderOptions {
  /** Default true. */
  pipelining?: boolean;
  /** Default: plain text, and a server that follows a script. */
  tls?: 'starttls' | 'implicit';
}

const AUTH = { user: 'shop', pass: 's3cret' };
const CAPABILITIES = ['8BITMIME', 'SIZE 10485760', 'AUTH PLAIN'];

/** A mail provider that asks for a login, and the line to it: what a test breaks, and mends again. */
export class Provider {
  private constructor(
    private readonly server: ScriptedSmtp | TestSmtpServer,
    readonly line: TcpProxy,
    /** What a server without TLS does wrong. */
    readonly script: SmtpScript,
  ) {}

  static async start({ pipelining = true, tls }: ProviderOptions = {}): Promise<Provider> {
    const script: SmtpScript = { capabilities: pipelining ? ['PIPELINING', ...CAPABILITIES] : CAPABILITIES };
    const server = await (tls ? startSmtpServer({ tls, auth: AUTH }) : startScriptedSmtp(script));
    return new Provider(server, await startTcpProxy(server.url), script);
  }

  /** How the module is told of it. */
  get config(): Pick<SmtpTransportConfig, 'url' | 'tls'> {
    const url = new URL(this.server.url);
    url.username = AUTH.user;
    url.password = AUTH.pass;
    url.port = `${this.line.port}`;
    return { url: url.href, ...('certificate' in this.server ? { tls: { ca: this.server.certificate!.cert } } : {}) };
  }

  /** Connections that came through to it so far. */
  get connections(): number {
    return this.server.connections;
  }

  /** Every line its clients sent, without TLS. */
  get commands(): readonly string[] {
    return 'commands' in this.server ? this.server.commands : [];
  }

  /** The Message-ID of each copy it holds of the message with this subject, also of one it could not say it has taken. */
  copies(subject: string): string[] {
    const messages = 'taken' in this.server ? this.server.taken : this.server.received.map(({ raw }) => raw.toString());
    return messages
      .filter((message) => subjectOf(message) === subject)
      .map((message) => /^Message-ID: (<.*>)\r$/im.exec(message)?.[1] ?? 'none');
  }

  /** Says something unasked on every connection and closes it. */
  dismiss(reply: `${number} ${string}`): void {
    if ('dismiss' in this.server) this.server.dismiss(reply);
  }

  /** Shows another certificate than its own. */
  present(certificate: Certificate): void {
    if ('present' in this.server) this.server.present(certificate);
  }

  /** All is well from here on. */
  async mend(): Promise<void> {
    const { capabilities, ...faults } = this.script;
    for (const step of Object.keys(faults)) delete this.script[step as keyof typeof faults];
    if ('certificate' in this.server) this.server.present(this.server.certificate!);
    this.line.disarm();
    this.line.thaw();
    await this.line.accept();
  }

  /** Resolves when its clients are gone and all that they sent has come in. */
  async quiet(): Promise<void> {
    await eventually(() => this.server.open === 0);
  }
}
