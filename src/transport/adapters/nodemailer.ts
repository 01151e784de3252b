import { createTransport, type NodemailerError } from 'nodemailer';
import { rawOf } from '../../mime/encoded.js';
import { providerIdOf } from '../smtp/provider-id.js';
import { rejectionOf } from '../smtp/failure.js';
import type { Acceptance, Outgoing, Rejection } from '../transport.js';
import type { Carrier, Handing } from './carrier.js';

/** A transport of nodemailer: what its `createTransport()` takes as a plugin. */
export interface NodemailerPlugin {
  readonly name: string;
  readonly version: string;
  send(mail: never, callback: never): unknown;
  verify?(...args: never[]): unknown;
  close?(...args: never[]): unknown;
}

/** What nodemailer's `createTransport()` returns. */
export interface NodemailerMail {
  readonly transporter: NodemailerPlugin;
  sendMail(...args: never[]): unknown;
}

/** What of nodemailer is used here, as it is in any of its versions. */
interface Mail {
  readonly transporter: NodemailerPlugin & { readonly options?: unknown };
  use(step: 'stream', plugin: (mail: Mailing, done: (error?: Error) => void) => void): unknown;
  sendMail(data: object): Promise<Info>;
  /** As the transport does it; beside that it sets up a proxy. */
  verify(): unknown;
  close?(): unknown;
}

interface Mailing {
  readonly data: { readonly envelope?: object };
  readonly message: {
    createReadStream(...args: unknown[]): NodeJS.ReadableStream & { destroy?(error: Error): unknown };
  };
}

interface Info {
  messageId?: string;
  accepted?: readonly unknown[];
  rejected?: readonly unknown[];
  rejectedErrors?: readonly (NodemailerError & { recipient?: string })[];
  response?: unknown;
}

/** Those of nodemailer's own that ask for the body when the server waits for it. */
const ASKS_LATE = /^SMTP\b/;

/** By their envelopes, which nodemailer passes on as they are. */
const HANDINGS = new WeakMap<object, Handing>();
/** Several carriers may be given the same one, such as those of tenants, and nodemailer forgets no plugin and no listener. */
const MAILS = new WeakMap<NodemailerPlugin | NodemailerMail, Mail>();

/** Sends by a transport of nodemailer: the bytes as they are, with their envelope. */
export class NodemailerCarrier implements Carrier {
  readonly server?: { host: string; port: number };
  readonly maxConnections?: number;
  readonly verify?: () => Promise<unknown>;
  private readonly mail: Mail;
  private readonly asksLate: boolean;

  constructor(transport: NodemailerPlugin | NodemailerMail) {
    this.mail = mailOf(transport);
    const { transporter } = this.mail;
    const { host, port, secure, maxConnections } = (transporter.options ?? {}) as Record<string, unknown>;
    if (typeof host === 'string') this.server = { host, port: Number(port) || (secure === true ? 465 : 587) };
    if (typeof maxConnections === 'number') this.maxConnections = maxConnections;
    if (typeof transporter.verify === 'function') this.verify = async () => this.mail.verify();
    this.asksLate = ASKS_LATE.test(transporter.name);
  }

  async send(outgoing: Outgoing, handing: Handing): Promise<Acceptance> {
    const envelope = { from: outgoing.envelope.from, to: [...outgoing.envelope.to] };
    const { messageId } = outgoing.mail ?? {};
    if (this.asksLate) handing.handedOver = false;
    HANDINGS.set(envelope, handing);
    const info = await this.mail.sendMail({
      raw: rawOf(outgoing),
      envelope,
      ...(messageId === undefined ? {} : { messageId }),
      signal: handing.signal,
      maxRecipients: 0,
    });
    return acceptanceOf(info, outgoing, this.server?.host);
  }

  close(): unknown {
    return this.mail.close?.();
  }
}

function mailOf(transport: NodemailerPlugin | NodemailerMail): Mail {
  const known = MAILS.get(transport);
  if (known) return known;
  const mail = (isMail(transport) ? transport : createTransport(transport as never)) as unknown as Mail;
  if (ASKS_LATE.test(mail.transporter.name)) mail.use('stream', watch);
  MAILS.set(transport, mail);
  return mail;
}

/**
 * Notes when the server asks for the body. nodemailer's pool sends a message again when its connection has broken, also when
 * the server had it all; that is for the lanes to decide. Its older versions do not listen to the signal.
 */
function watch({ data, message }: Mailing, done: () => void): void {
  const handing = data.envelope && HANDINGS.get(data.envelope);
  if (!handing) return done();
  const create = message.createReadStream.bind(message);
  message.createReadStream = (...args) => {
    const stream = create(...args);
    const pipe = stream.pipe.bind(stream);
    stream.pipe = (destination, ...options) => {
      if (handing.handedOver || handing.signal.aborted) {
        setImmediate(() => stream.destroy?.(new Error('It had been handed over before, and no answer came')));
        return destination;
      }
      handing.handedOver = true;
      return pipe(destination, ...options);
    };
    return stream;
  };
  done();
}

/** It is one of nodemailer's, in either form. */
export function isNodemailer(transport: object): transport is NodemailerPlugin | NodemailerMail {
  return isMail(transport) || isPlugin(transport);
}

function isMail(transport: object): transport is NodemailerMail {
  const { sendMail, transporter } = transport as Partial<NodemailerMail>;
  return typeof sendMail === 'function' && typeof transporter === 'object' && isPlugin(transporter);
}

function isPlugin(transport: object): transport is NodemailerPlugin {
  const { name, version, send } = transport as Partial<NodemailerPlugin>;
  return typeof send === 'function' && typeof name === 'string' && typeof version === 'string';
}

function acceptanceOf(info: Info | undefined, { envelope, mail }: Outgoing, host = ''): Acceptance {
  const { messageId, accepted, rejected = [], rejectedErrors = [], response } = info ?? {};
  const errors = new Map(rejectedErrors.map((error) => [error.recipient?.toLowerCase(), error]));
  const refused = new Set(rejected.map(addressOf));
  const taken = accepted && new Set(accepted.map(addressOf));
  const isServed = (address: string): boolean => !refused.has(address) && (taken?.has(address) ?? true);
  const reply = typeof response === 'string' && response !== '' ? response : 'Accepted';
  const ownId = messageId !== undefined && mail && messageId !== mail.messageId ? messageId : providerIdOf(reply, host);
  return {
    accepted: envelope.to.filter((address) => isServed(address.toLowerCase())),
    rejections: envelope.to
      .filter((address) => !isServed(address.toLowerCase()))
      .map((address) => refusalOf(address, errors.get(address.toLowerCase()), envelope.to.length)),
    response: reply,
    ...(ownId === undefined ? {} : { providerId: ownId }),
  };
}

function refusalOf(address: string, error: NodemailerError | undefined, recipients: number): Rejection {
  if (error) return { ...rejectionOf(error, recipients), address };
  return { address, reply: 'The server has not accepted it for this address', permanent: false };
}

function addressOf(entry: unknown): string {
  return String((entry as { address?: unknown } | undefined)?.address ?? entry).toLowerCase();
}
