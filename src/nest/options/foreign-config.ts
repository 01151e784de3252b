import type { Duration } from '../../message/duration.js';
import type { Lane } from '../../message/message.js';
import type { NestMailTransport } from '../../transport/adapters/nest-mail.js';
import type { NodemailerMail, NodemailerPlugin } from '../../transport/adapters/nodemailer.js';
import type { HttpProbeConfig } from './probe-config.js';
import type { RateLimitConfig } from './rate-limit.js';

/** Somebody else's transport: of `@nestjs/mail`, or of nodemailer. */
export interface ForeignTransportConfig {
  /** How messages, receipts and logs name it. */
  name: string;
  /**
   * A `MailTransport` of `@nestjs/mail`, such as `new ResendTransport({ apiKey })`; a transport of nodemailer; or what
   * nodemailer's `createTransport()` returns. Closed with the application; what `resolveTransport` gave is never closed.
   */
  transport: NestMailTransport | NodemailerPlugin | NodemailerMail;
  /** Where it is. Transports of the module's own `region` are tried first. */
  region?: string;
  /** The lanes that may use it. Default: both. */
  lanes?: readonly Lane[];
  /** Its share of the bulk mail with `balance: 'weighted'`, beside the weights of the others. Default 1. */
  weight?: number;
  /** Messages at once, per lane and process. Default: those of the transport's own pool, or 5. */
  maxConnections?: number;
  /**
   * For one message, from when the transport is given it to its answer. Then it is `unknown` whether it was sent, and the next one
   * gets its place, also when the transport never comes to an end. Default `'2m'`.
   */
  timeout?: Duration;
  /** As of an SMTP provider. */
  rateLimit?: RateLimitConfig;
  /** As of an SMTP provider, by a status page alone. */
  probe?: HttpProbeConfig;
}
