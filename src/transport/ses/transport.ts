import SESTransport, { type SentMessageInfo } from 'nodemailer/lib/ses-transport';
import { Readable } from 'node:stream';
import type { Lane } from '../../message/message.js';
import { CAMPAIGN_TAG, ID_TAG, tagValue } from '../../message/tags.js';
import { sizeOf, type Encoded } from '../../mime/encoded.js';
import { Places } from '../places.js';
import { signedHeaders } from '../signing.js';
import {
  TransportError,
  type Acceptance,
  type Outgoing,
  type Rejection,
  type SendOptions,
  type Transport,
  type TransportMonitor,
} from '../transport.js';
import { AccountWatch, isDenied } from './account-watch.js';
import { accountOf, type SesAccount } from './account.js';
import { SesConnection } from './client.js';
import { Exchange } from './exchange.js';
import { sesError } from './failure.js';
import type { SesTransportOptions } from './options.js';

/** Recipients of one request. */
const MOST_RECIPIENTS = 50;
/** Of a message, as base64. */
const MOST_BYTES = 40 * 1024 * 1024;
const CLOSING = 'The mail transport is closing';

/** Amazon SES by its API (version 2), through nodemailer's SES transport. */
export class SesTransport implements Transport {
  readonly name: string;
  readonly region?: string;
  readonly server?: { host: string; port: number };
  readonly lanes: readonly Lane[];
  readonly maxConnections: number;
  private readonly connection: SesConnection;
  private readonly places: Places;
  private readonly underWay = new Map<Exchange, Promise<unknown>>();
  private watch: AccountWatch | undefined;
  private monitor: TransportMonitor | undefined;
  private account: SesAccount | undefined;

  /** @param onWarning told once what cannot be found out */
  constructor(
    private readonly options: SesTransportOptions,
    private readonly onWarning: (warning: string) => void = () => undefined,
  ) {
    this.name = options.name;
    if (options.region !== undefined) this.region = options.region;
    const server = serverOf(options);
    if (server) this.server = server;
    this.lanes = options.lanes;
    this.maxConnections = options.maxConnections;
    this.places = new Places(options.name, options.maxConnections);
    this.connection = new SesConnection(options);
  }

  /** What SES has said of the account at last; undefined before it was asked. */
  get notice(): string | undefined {
    return this.account?.notice;
  }

  async start(monitor: TransportMonitor): Promise<void> {
    this.monitor = monitor;
    if (!this.options.followsRate) return;
    this.watch = new AccountWatch((signal) => this.ask(signal), {
      rate: (perSecond) => monitor.rateAllowed?.(perSecond),
      failed: (error) => monitor.connectFailed(error),
      denied: (reason) =>
        this.onWarning(
          `The rate of the SES account behind ${this.name} is not known, so that SES has to refuse what is too fast. ` +
            `Allow ses:GetAccount, or give a rateLimit. (${reason})`,
        ),
    });
    await this.watch.start();
  }

  async send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance> {
    const { dkim } = this.options;
    const begun = performance.now();
    const headers = dkim ? await signedHeaders(this.name, dkim, outgoing, options.signal) : outgoing.headers;
    const message = { ...outgoing, headers };
    this.refuseOversized(message);
    const left = (): SendOptions => {
      const { handoverWithin } = options;
      if (handoverWithin === undefined) return options;
      return { ...options, handoverWithin: Math.max(0, handoverWithin - (performance.now() - begun)) };
    };
    const { to } = outgoing.envelope;
    return to.length > MOST_RECIPIENTS ? this.handInParts(message, left) : this.hand(message, to, left);
  }

  /** Asks for the account. Credentials that do not go so far are good all the same. */
  async verify(signal: AbortSignal): Promise<void> {
    try {
      const { trouble, rate } = await this.ask(signal);
      if (rate !== undefined && this.options.followsRate) this.monitor?.rateAllowed?.(rate);
      if (trouble !== undefined) throw accountTrouble(this.name, trouble);
    } catch (error) {
      const throttled = error instanceof TransportError && error.kind === 'busy';
      if (!throttled && !isDenied(error)) throw error;
    }
  }

  async close(within: number): Promise<void> {
    this.watch?.stop();
    this.places.close(CLOSING);
    const timer = setTimeout(() => {
      for (const exchange of this.underWay.keys()) exchange.end(new Error(CLOSING));
    }, within);
    await Promise.allSettled(this.underWay.values());
    clearTimeout(timer);
    this.connection.close();
  }

  /** SES counts the bytes that the API carries. */
  private refuseOversized(encoded: Encoded): void {
    const bytes = 4 * Math.ceil(sizeOf(encoded) / 3);
    if (bytes <= MOST_BYTES) return;
    throw new TransportError(this.name, {
      phase: 'mail',
      outcome: 'not-sent',
      permanent: true,
      scope: 'message',
      reply: `The message has ${megabytes(bytes)} MB as base64, and Amazon SES takes ${megabytes(MOST_BYTES)} MB`,
    });
  }

  /** What is not accepted after the first part is told as rejections: it is for whoever sends to try those again. */
  private async handInParts(message: Outgoing, left: () => SendOptions): Promise<Acceptance> {
    const { to } = message.envelope;
    const accepted: Acceptance[] = [];
    const rejections: Rejection[] = [];
    let refused: TransportError | undefined;
    for (let from = 0; from < to.length; from += MOST_RECIPIENTS) {
      const part = to.slice(from, from + MOST_RECIPIENTS);
      if (refused && !refused.permanent) {
        const reply = `Not tried after: ${refused.reply}`;
        rejections.push(...part.map((address) => ({ address, reply, permanent: false, kind: 'down' as const })));
        continue;
      }
      try {
        accepted.push(await this.hand(message, part, left));
      } catch (error) {
        refused = error as TransportError;
        const { reply, permanent, kind } = refused;
        rejections.push(...part.map((address) => ({ address, reply, permanent, kind })));
      }
    }
    const [first] = accepted;
    if (!first) throw refused!;
    return { ...first, accepted: accepted.flatMap((one) => one.accepted), rejections };
  }

  private async hand(message: Outgoing, to: string[], left: () => SendOptions): Promise<Acceptance> {
    const leave = await this.places.take(left());
    try {
      return await this.within(left(), to.length, async (exchange) => {
        const { messageId, response } = await this.submit(message, to, exchange);
        this.monitor?.roundTrip(exchange.took);
        const providerId = response ? { providerId: messageId } : {};
        return { accepted: to, rejections: [], response: `200 Ok ${response}`, ...providerId };
      });
    } finally {
      leave();
    }
  }

  private async submit(message: Outgoing, to: string[], exchange: Exchange): Promise<SentMessageInfo> {
    const { config, SendEmailCommand, send } = await exchange.race(this.connection.open());
    const sesClient = { config, send: (command: unknown) => send(command as never, exchange) };
    const transport = new SESTransport({ SES: { sesClient, SendEmailCommand } });
    return new Promise((resolve, reject) => {
      transport.send(this.mailOf(message, to) as never, (error, info) => (error ? reject(error) : resolve(info!)));
    });
  }

  /** What nodemailer's transport reads of a mail; it makes nothing of the header, which is none of the envelope's business. */
  private mailOf({ headers, body, envelope, mail }: Outgoing, to: string[]): object {
    const { configurationSet, tags } = this.options;
    return {
      message: {
        _headers: [],
        getEnvelope: () => ({ from: envelope.from, to }),
        messageId: () => mail?.messageId ?? '',
        createReadStream: () => Readable.from([headers, ...body]),
      },
      data: {
        ses: {
          // SES would put it in place of the message's From, display name and all.
          FromEmailAddress: undefined,
          EmailTags: tagsOf(tags, mail),
          ...(configurationSet === undefined ? {} : { ConfigurationSetName: configurationSet }),
        },
      },
    };
  }

  private ask(signal: AbortSignal): Promise<SesAccount> {
    return this.within({ lane: 'priority', signal }, 0, async (exchange) => {
      const api = await exchange.race(this.connection.open());
      this.account = accountOf(await api.account(exchange));
      this.monitor?.roundTrip(exchange.took);
      return this.account;
    });
  }

  /** @throws TransportError whatever went wrong */
  private async within<T>(
    options: SendOptions,
    recipients: number,
    work: (exchange: Exchange) => Promise<T>,
  ): Promise<T> {
    this.places.checkOpen();
    const exchange = new Exchange(this.name, options);
    const working = work(exchange);
    this.underWay.set(exchange, working);
    try {
      return await working;
    } catch (error) {
      throw sesError(this.name, error, exchange, recipients);
    } finally {
      exchange.close();
      this.underWay.delete(exchange);
    }
  }
}

function tagsOf(own: Readonly<Record<string, string>>, mail: Outgoing['mail']): { Name: string; Value: string }[] {
  const tags = Object.entries(own).map(([Name, Value]) => ({ Name, Value }));
  if (mail) tags.push({ Name: ID_TAG, Value: tagValue(mail.id) });
  if (mail?.campaignId !== undefined) tags.push({ Name: CAMPAIGN_TAG, Value: tagValue(mail.campaignId) });
  return tags;
}

/** The account as a whole is refused, whatever the message. */
function accountTrouble(transport: string, reply: string): TransportError {
  return new TransportError(transport, {
    phase: 'greeting',
    outcome: 'not-sent',
    permanent: false,
    scope: 'transport',
    answered: true,
    reply,
  });
}

function serverOf({ endpoint, awsRegion, client }: SesTransportOptions): { host: string; port: number } | undefined {
  if (client) return undefined;
  if (endpoint !== undefined) {
    const { hostname, port, protocol } = new URL(endpoint);
    return { host: hostname, port: Number(port) || (protocol === 'http:' ? 80 : 443) };
  }
  if (awsRegion === undefined) return undefined;
  const [partition = ''] = awsRegion.split('-');
  const domain = { cn: 'amazonaws.com.cn', eusc: 'amazonaws.eu' }[partition] ?? 'amazonaws.com';
  return { host: `email.${awsRegion}.${domain}`, port: 443 };
}

function megabytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}
