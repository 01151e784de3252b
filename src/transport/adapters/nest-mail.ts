import { createHash } from 'node:crypto';
import { CAMPAIGN_TAG, ID_TAG } from '../../message/tags.js';
import { TransportError, type Acceptance, type Outgoing, type OutgoingMail, type Rejection } from '../transport.js';
import type { Carrier, Handing } from './carrier.js';
import { foreignFailure } from './failure.js';
import { nestMailMessage, type NestMailMessage } from './nest-mail-message.js';

/** A transport of `@nestjs/mail`, or of anybody who keeps to its `MailTransport`. */
export interface NestMailTransport {
  send(
    message: NestMailMessage,
    options: { signal: AbortSignal; idempotencyKey?: string; attempt: number },
  ): Promise<{ accepted?: string[]; providerMessageId?: string; response?: string }>;
  close?(): void | Promise<void>;
}

/** What its own transports have beside that, none of it promised. */
interface Known extends NestMailTransport {
  readonly provider?: unknown;
  readonly url?: unknown;
  readonly fetchOverride?: unknown;
  readonly pool?: { readonly maxConnections?: unknown };
  verify?(): Promise<void>;
}

/** What a provider can be told of a message in headers that it takes out again or answers with. */
const TELL: Readonly<Record<string, (mail: OutgoingMail) => Record<string, string>>> = {
  // Without the first it makes a Message-ID of its own.
  postmark: ({ id, messageId, campaignId }) => ({
    'X-PM-KeepID': 'true',
    'Message-ID': messageId,
    [`X-PM-Metadata-${ID_TAG}`]: id,
    ...(campaignId === undefined ? {} : { [`X-PM-Metadata-${CAMPAIGN_TAG}`]: campaignId }),
  }),
  // Its events tell it as smtp-id.
  sendgrid: ({ messageId }) => ({ 'Message-ID': messageId }),
};

/** Sends by a transport of `@nestjs/mail`. */
export class NestMailCarrier implements Carrier {
  readonly server?: { host: string; port: number };
  readonly maxConnections?: number;
  readonly verify?: () => Promise<void>;
  readonly reach?: (signal: AbortSignal) => Promise<unknown>;
  private readonly tell: (mail: OutgoingMail) => Record<string, string>;

  constructor(private readonly transport: NestMailTransport) {
    const known: Known = transport;
    this.tell = TELL[String(known.provider).toLowerCase()] ?? (() => ({}));
    const most = known.pool?.maxConnections;
    if (typeof most === 'number') this.maxConnections = most;
    const url = URL.canParse(String(known.url)) ? new URL(String(known.url)) : undefined;
    if (url && /^https?:$/.test(url.protocol)) {
      this.server = { host: url.hostname, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80) };
      const request = typeof known.fetchOverride === 'function' ? (known.fetchOverride as typeof fetch) : fetch;
      this.reach = (signal) => request(url.origin, { method: 'HEAD', redirect: 'manual', signal });
    }
    if (typeof known.verify === 'function') this.verify = () => known.verify!();
  }

  async send(outgoing: Outgoing, handing: Handing): Promise<Acceptance> {
    try {
      return await this.once(outgoing, handing);
    } catch (error) {
      if (wantsTo(error) && outgoing.envelope.to.length > 1) return this.toEach(outgoing, handing);
      const left = withoutRefused(outgoing, error);
      if (!left) throw error;
      // It takes nobody unless it takes all: those who are left have not got it.
      const acceptance = await this.once(left.outgoing, handing);
      return { ...acceptance, rejections: [...left.rejections, ...acceptance.rejections] };
    }
  }

  async close(): Promise<void> {
    await this.transport.close?.();
  }

  /** Each gets a message of its own. What is not accepted after the first is told as rejections, to be tried again. */
  private async toEach(outgoing: Outgoing, handing: Handing): Promise<Acceptance> {
    const { envelope } = outgoing;
    const accepted: Acceptance[] = [];
    const rejections: Rejection[] = [];
    let failed: TransportError | undefined;
    for (const address of envelope.to) {
      if (failed && !failed.permanent) {
        rejections.push({ address, reply: `Not tried after: ${failed.reply}`, permanent: false, kind: 'down' });
        continue;
      }
      try {
        accepted.push(await this.once({ ...outgoing, envelope: { ...envelope, to: [address] } }, handing));
      } catch (error) {
        const isLast = rejections.length + 1 === envelope.to.length;
        failed = foreignFailure('', error, { recipients: 1, point: 'body' });
        const { reply, permanent, kind } = failed;
        // Nobody has got it: it may as well go elsewhere.
        if (accepted.length === 0 && (isLast || !permanent)) throw error;
        rejections.push({ address, reply, permanent, kind });
      }
    }
    return {
      ...accepted[0]!,
      accepted: accepted.flatMap((one) => one.accepted),
      rejections: [...rejections, ...accepted.flatMap((one) => one.rejections)],
    };
  }

  private async once(outgoing: Outgoing, { signal }: Handing): Promise<Acceptance> {
    const { mail, envelope } = outgoing;
    if (!mail) throw new Error('A transport of @nestjs/mail takes messages, and these are bytes alone');
    const message = nestMailMessage(outgoing, mail, this.tell(mail));
    const idempotencyKey = keyOf(mail.id, message);
    const result = (await this.transport.send(message, { signal, idempotencyKey, attempt: 1 })) ?? {};
    const { accepted = envelope.to, providerMessageId, response } = result;
    const served = new Set(accepted.map((address) => address.toLowerCase()));
    const isServed = (address: string): boolean => served.has(address.toLowerCase());
    return {
      accepted: envelope.to.filter(isServed),
      rejections: envelope.to.filter((address) => !isServed(address)).map(passedOver),
      response: response ?? (providerMessageId === undefined ? 'Accepted' : `Accepted as ${providerMessageId}`),
      ...(providerMessageId === undefined ? {} : { providerId: providerMessageId }),
    };
  }
}

/** Those who are left stand in Bcc, and it sends none without a To. Nothing was sent. */
function wantsTo(error: unknown): boolean {
  const { name, field } = (error ?? {}) as { name?: unknown; field?: unknown };
  return name === 'MailMessageError' && field === 'to';
}

function passedOver(address: string): Rejection {
  return { address, reply: 'The provider has not accepted it for this address', permanent: false };
}

/**
 * The same for every try of the same mail, so that a provider which knows keys takes it once; another for what one of
 * them says differently, or for other recipients, which a provider would refuse under the same.
 */
function keyOf(id: string, { subject, text = '', html = '', headers, envelope }: NestMailMessage): string {
  const said = JSON.stringify([subject, text, html, headers, envelope]);
  return `${id}/${createHash('sha256').update(said).digest('base64url').slice(0, 22)}`;
}

/** Those whom the server has not refused, and what it said of the others; undefined when nobody is left. */
function withoutRefused(
  outgoing: Outgoing,
  error: unknown,
): { outgoing: Outgoing; rejections: readonly Rejection[] } | undefined {
  if ((error as Error | undefined)?.name !== 'MailRecipientsRejectedError' || error instanceof TransportError)
    return undefined;
  const { envelope } = outgoing;
  const { rejections } = foreignFailure('', error, { recipients: envelope.to.length, point: 'mail' });
  const refused = new Set(rejections.map(({ address }) => address));
  const to = envelope.to.filter((address) => !refused.has(address));
  if (to.length === 0 || to.length === envelope.to.length) return undefined;
  return { outgoing: { ...outgoing, envelope: { ...envelope, to } }, rejections };
}
