import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Interceptor } from '../../delivery/interceptors.js';
import type { AddressInput } from '../../message/address.js';
import type { Classifier } from '../../message/classify.js';
import type { Duration } from '../../message/duration.js';
import type { Limits } from '../../message/limits.js';
import type { Lane } from '../../message/message.js';
import type { StoreConnection } from '../../store/target.js';
import type { TemplateEngine } from '../../templates/engine.js';
import type { HandlebarsOptions } from '../../templates/handlebars/options.js';
import type { Balance } from '../../transport/balance.js';
import type { SmtpLogin } from '../../transport/smtp/login.js';
import type { Transport } from '../../transport/transport.js';
import type { AttachmentsConfig } from './attachments.js';
import type { OnCollectError } from './collect.js';
import type { BouncesConfig } from './bounces.js';
import type { FeedbackConfig } from './feedback.js';
import type { DkimConfig } from './dkim.js';
import type { ForeignTransportConfig } from './foreign-config.js';
import type { MetricsRegister } from './metrics.js';
import type { SuppressionConfig } from './suppression.js';
import type { SesTransportConfig } from './ses.js';
import type { ProbeConfig } from './probe-config.js';
import type { RateLimitConfig } from './rate-limit.js';
import type { TracerProviderLike } from './tracing.js';
import type { UnsubscribeConfig } from './unsubscribe.js';

/** One SMTP provider. */
export interface SmtpTransportConfig {
  /** How messages, receipts and logs name it. */
  name: string;
  /** `smtp://user:pass@host:587` (STARTTLS where offered, required with a login) or `smtps://…` (TLS from the start). */
  url: string;
  /** Where it is. Transports of the module's own `region` are tried first. */
  region?: string;
  /** The lanes that may use it. Default: both. */
  lanes?: readonly Lane[];
  /**
   * The login, where the URL has none: a password, or OAuth 2.0 in nodemailer's shape (`accessToken`, or `clientId`,
   * `clientSecret` and `refreshToken`, or `serviceClient` and `privateKey`).
   */
  auth?: SmtpLogin;
  /** Its share of the bulk mail with `balance: 'weighted'`, beside the weights of the others. Default 1. */
  weight?: number;
  /** Connections per lane and process. Default 5. */
  maxConnections?: number;
  /** Connections of all processes on the same queue together, both lanes. Default: no limit. */
  maxTotalConnections?: number;
  /** Connections of the priority lane that are opened at boot and kept. Default 1; 0 for transports of the bulk lane alone. */
  minWarm?: number;
  /** A NOOP goes over each unused connection this often, so that the server does not close it; 0 for never. Default `'20s'`. */
  keepAlive?: Duration;
  /** An unused connection beyond `minWarm` is closed after this long. Default `'1m'`. */
  idleTimeout?: Duration;
  /** A connection is replaced after this long. Default `'15m'`. */
  maxAge?: Duration;
  /** Messages before a connection is replaced. Default 1,000. */
  maxMessages?: number;
  /** DNS, TCP, greeting and TLS together. Default `'10s'`. */
  connectTimeout?: Duration;
  /** Of that, the server's greeting. Default `'10s'`. */
  greetingTimeout?: Duration;
  /** Silence of the server after a command. Default `'30s'`. */
  commandTimeout?: Duration;
  /** Silence of the server from the first byte of a message to its answer. Default `'5m'`. */
  bodyTimeout?: Duration;
  /**
   * At most so many messages in any span of this length, over both lanes and all processes on the same queue; of several
   * processes on PostgreSQL, in each window of this length.
   */
  rateLimit?: RateLimitConfig;
  /**
   * Watches how loaded the mail server is. Bulk mail waits, or takes another transport, while it is overloaded. `'smtp'` is
   * `{ type: 'smtp' }`. Default: it is not watched.
   */
  probe?: ProbeConfig;
  /** Node's TLS options, such as `ca`. Certificates are verified. */
  tls?: TlsOptions;
  /** Signs every message, in nodemailer's shape: with one key, or with several `keys`. Default: no signature. */
  dkim?: DkimConfig;
}

/** A provider, somebody else's transport, or an object that is a transport of this package itself, such as a test's. */
export type TransportConfig = SmtpTransportConfig | SesTransportConfig | ForeignTransportConfig | Transport;

/** What `resolveTransport` gives: the same without a name. `minWarm` is 0 unless it says otherwise. */
export type TenantTransportConfig =
  | Omit<SmtpTransportConfig, 'name' | 'lanes' | 'weight'>
  | Omit<SesTransportConfig, 'name' | 'lanes' | 'weight'>
  | Omit<ForeignTransportConfig, 'name' | 'lanes' | 'weight'>
  | Transport;

/** A secret that encrypts what is stored. */
export interface EncryptionKeyConfig {
  /** What is stored names its key by it: up to 32 letters, digits, `.`, `_` and `-`. */
  id: string;
  /** 32 random bytes as base64 or hex, such as `openssl rand -base64 32` prints. */
  key: string;
}

/** The bulk lane. */
export interface QueueConfig {
  /**
   * Where the queue lives: `redis://`, `rediss://`, `postgres://`, `pglite://./folder`, `pglite://memory`, an ioredis or
   * a `pg.Pool` instance. Default: the connection of the application's own `BullModule.forRoot`, else
   * `pglite://./.mail-queue`, or `pglite://./.mail-queue-<name>` for a named mailer.
   */
  connection?: StoreConnection;
  /** Picks a named `BullModule.forRoot(key, …)` configuration. */
  configKey?: string;
  batch?: {
    /** Messages of one batch. Default 250. */
    size?: number;
    /** Bytes of JSON of one batch. Default 262,144. */
    maxBytes?: number;
    /** A batch is handed back after this long, so that others get their turn. Default `'10s'`. */
    maxDuration?: Duration;
  };
  /** False makes a process that only queues, unless it calls `MailWorker.runUntil()`. */
  worker?:
    | false
    | {
        /** False: the process works on the queue only while `MailWorker.runUntil()` runs. Default true. */
        autorun?: boolean;
        /** Batches delivered at a time. Default 4. */
        batches?: number;
        /** A batch of a worker that has died is taken up by another within 1.5 times this long. Default `'10s'`. */
        lockDuration?: Duration;
      };
  retry?: {
    /** Answers about one recipient before it is given up. Default 5. */
    attempts?: number;
    /**
     * Given up when its own pauses since the first attempt come to this long. Time that it is scheduled, in line, paused or
     * suspended, or waits for transports that are down or take no more, does not count. Default `'24h'`.
     */
    maxAge?: Duration;
    /** Before the second attempt; doubles with each. Default `'1m'`. */
    firstPause?: Duration;
    /** The longest pause between attempts. Default `'1h'`. */
    maxPause?: Duration;
    /** Before the next attempt at a server that greylists. Default `'5m'`. */
    greylistPause?: Duration;
  };
  /**
   * A campaign is suspended when none of its transports has had room for it for this long: all of them are down, paused,
   * overloaded, or take nothing. False: it waits for ever. Default `'15m'`.
   */
  waitForCapacity?: Duration | false;
  keep?: {
    /** How long messages that left can be asked for. Default `'1d'`. */
    sent?: Duration;
    /** How long failed ones can. Default `'30d'`. */
    failed?: Duration;
  };
  /**
   * Encrypts what is stored of messages (AES-256-GCM): 32 random bytes as base64 or hex, such as `openssl rand -base64 32`
   * prints. Of a list the first key encrypts, and all of them decrypt. A key without an id gets one that derives from it.
   * Default: nothing is encrypted.
   */
  encryptionKey?: string | EncryptionKeyConfig | readonly (string | EncryptionKeyConfig)[];
}

/** What renders a message's `template`: Handlebars, which needs `dir`, or an `engine` of the application's own. */
export interface TemplatesConfig extends Partial<HandlebarsOptions> {
  /** Any engine in place of Handlebars. The options of Handlebars are not for it. */
  engine?: TemplateEngine;
  /** Reads and compiles all templates at boot: one that is missing or broken stops it. Default false. */
  preload?: boolean;
}

/** How bulk mail is collected, by requests, `@CollectMail()` and `collect()`. */
export interface CollectConfig {
  /** Each HTTP request, GraphQL query or mutation, and microservice message is a collection. Default false. */
  requests?: boolean;
  /** Messages of one collection. Default 10,000. */
  max?: number;
  /** Bytes that holding them takes, about: contents, headers and recipients. Attachments are in the store. Default 16,777,216. */
  maxBytes?: number;
  /** What becomes of collected mail when the handler fails. Default `'discard'`. */
  onError?: OnCollectError;
}

/** Where the metrics stand. Several mailers may share a register; each has its name in the label `mailer`. */
export interface MetricsConfig {
  /** prom-client's `Registry`. Default: its default one. */
  register?: MetricsRegister;
  /** Before every name, such as `shop_`. Default none. */
  prefix?: string;
  /** Of the time that a send takes, in seconds, rising. Default: twelve from 0.005 to 30. */
  buckets?: readonly number[];
}

/** The options of `MailModule.forRoot()`. */
export interface MailModuleOptions {
  /** The sender of messages that name none. */
  from?: AddressInput;
  /** Where this process runs. */
  region?: string;
  /** The ways out, in order of preference. */
  transports: readonly TransportConfig[];
  /**
   * How transports share the bulk mail that several of them have room for: to the one whose congestion window, and server
   * where all have a probe, is the least in use (`'least-loaded'`), in turn (`'round-robin'`), or in proportion to their
   * `weight` (`'weighted'`). Those of this process's `region` go before the others. Default `'least-loaded'`.
   */
  balance?: Balance;
  /** False leaves the priority lane alone and opens no store. */
  queue?: QueueConfig | false;
  priority?: {
    /** For one `send()`: encoding, connecting and every transport. Default `'10s'`. */
    timeout?: Duration;
    /**
     * What becomes of a mail that surely no transport has taken, for reasons that may pass: an error (`'throw'`), or ahead of
     * everything into the bulk lane (`'queue'`), with a receipt that says `queued`. Default `'throw'`.
     */
    overflow?: 'throw' | 'queue';
    /** Tries the next transport also when the answer never came. The mail may arrive twice. Default false. */
    retryUnknown?: boolean;
  };
  /**
   * Bulk mail that is sent while a request runs is queued in one go when the handler has succeeded, and discarded when it
   * fails. `'requests'` is `{ requests: true }`. Default: only `@CollectMail()` and `collect()` do so.
   */
  collect?: 'requests' | CollectConfig;
  /** How long an `idempotencyKey` of `send()` is remembered. Default `'24h'`. */
  idempotencyTtl?: Duration;
  /**
   * Finds the transport of a message whose `transport` names none of `transports`, such as a tenant's, when it is sent; in the
   * worker for queued mail, so that the queue holds names and no credentials. Undefined: there is none. Its connections
   * are closed when it is not used for a while, but a transport object that it gave is never closed; it is asked again after
   * a minute, or when a login was refused, and should give the same objects as long as nothing has changed.
   */
  resolveTransport?: (name: string) => TenantTransportConfig | undefined | Promise<TenantTransportConfig | undefined>;
  attachments?: AttachmentsConfig;
  /** Who gets no more mail, such as those whose address bounces or who have unsubscribed. */
  suppression?: SuppressionConfig;
  /** The templates of messages that name one. Default: none. */
  templates?: TemplatesConfig;
  /** Lets readers of bulk mail unsubscribe. Default: no message can have `unsubscribe`. */
  unsubscribe?: UnsubscribeConfig;
  limits?: Partial<Limits>;
  /** The lane of messages on which nothing else has decided. Default `'priority'`. */
  defaultLane?: Lane;
  /**
   * Decides on the lane of `send()` messages that name none and are made by no mail class that does. Of several functions,
   * asked in order, the first that answers. `markedBulk()` is a ready one. Default: none, and `defaultLane` it is.
   */
  classify?: Classifier | readonly Classifier[];
  /**
   * May change or veto every message of both lanes right before it is sent; several functions in order. Queued mail is
   * looked at where it is delivered, by the options of that process. `redirectTo()` is a ready one. Default: none.
   */
  intercept?: Interceptor | readonly Interceptor[];
  /**
   * Metrics for Prometheus: `true` puts them on prom-client's default register. Needs `prom-client`. Default false.
   */
  metrics?: boolean | MetricsConfig;
  /**
   * OpenTelemetry spans of each mail's way, from `send()` to the server's answer: `true` for the provider that the application
   * has registered, or a `TracerProvider`. Needs `@opentelemetry/api`. Default false.
   */
  tracing?: boolean | TracerProviderLike;
  /**
   * Gives each mail an envelope sender of its own (VERP), by which a bounce that comes back as a mail is told. Default: the
   * envelope sender is the address in From.
   */
  bounces?: BouncesConfig;
  /**
   * What is done about bounces, complaints and other reports; `true` is `{}`. Without it they are taken too, and find their mail
   * by its own id and by Message-ID.
   */
  feedback?: boolean | FeedbackConfig;
  /** For `app.close()` to finish or record what is in flight. Default `'15s'`. */
  shutdownTimeout?: Duration;
}

/** Makes the module's options; for `forRootAsync({ useClass })` and `useExisting`. */
export interface MailOptionsFactory {
  createMailOptions(): MailModuleOptions | Promise<MailModuleOptions>;
}

/** What stands outside the options, because Nest needs it before they are known. */
export interface MailModuleExtras {
  /** Of one of several mailers; injected with `@InjectMail(name)`. Letters, digits, `_` and `-`. Default: the one without. */
  name?: string;
  /** Default true. */
  isGlobal?: boolean;
}
