import { MailError, type Outcome, type Phase } from '../errors.js';
import type { Lane, Message } from '../message/message.js';
import type { Encoded } from '../mime/encoded.js';
import { oneLine } from '../message/text.js';
import type { Probe } from './probe.js';

/** RFC 5321 envelope: the return path and the recipients. Domains are in ASCII. */
export interface Envelope {
  from: string;
  to: string[];
}

/** What a message is besides its bytes. */
export interface OutgoingMail {
  /** What it is known by here, for what a provider reports about it later. */
  id: string;
  /** The Message-ID header's value, angle brackets included. */
  messageId: string;
  campaignId?: string;
  /** As it was before it was encoded, for providers that take no bytes. */
  message(): Message;
}

/** A message as it goes over the wire. */
export interface Outgoing extends Encoded {
  envelope: Envelope;
  /** Not there for bytes that are nobody's mail, such as a benchmark's. */
  mail?: OutgoingMail;
}

/** A recipient the server refused while it took others. */
export interface Rejection {
  address: string;
  /** RFC 5321 reply code. */
  replyCode?: number;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  reply: string;
  permanent: boolean;
  /** Default: `recipient-refused` or `recipient-deferred`. */
  kind?: FailureKind;
}

/** The provider took the message for `accepted`. */
export interface Acceptance {
  accepted: string[];
  rejections: Rejection[];
  /** The server's final reply. */
  response: string;
  /** The id the provider gave the message, where it replaces the Message-ID. */
  providerId?: string;
}

export interface SendOptions {
  lane: Lane;
  /** Ends the attempt; the error then tells whether the body had been handed over. */
  signal: AbortSignal;
  /**
   * Milliseconds within which the body must have been handed over, or the attempt ends as `not-sent`. What cannot tell that
   * moment leaves it aside. Default: no limit but the signal.
   */
  handoverWithin?: number;
  /** Asked again after a wait for leave to send; false ends the attempt as `not-sent`. */
  stillWanted?: () => boolean;
  /**
   * Asked right before the body leaves, where that can be told; false ends the attempt as `not-sent`, and costs the
   * connection.
   */
  mayHandOver?: () => boolean;
}

/** Told by a transport what it sees, also between sends. */
export interface TransportMonitor {
  /** A round trip to the server took this many milliseconds. */
  roundTrip(milliseconds: number): void;
  /** A connection that was to be kept ready could not be opened. */
  connectFailed(error: TransportError): void;
  /** The provider takes so many recipients a second, which may have changed. */
  rateAllowed?(perSecond: number): void;
}

/**
 * Messages of the bulk lane for each connection that takes them in advance: one is answered, one has begun, and one is
 * encoded and in line, so that no connection waits for the event loop.
 */
export const MESSAGES_PER_CONNECTION = 3;

/** One configured way out. Safe to use for many messages at once. */
export interface Transport {
  readonly name: string;
  readonly region?: string;
  /** Where it leads to, for traces. */
  readonly server?: { host: string; port: number };
  readonly lanes: readonly Lane[];
  /** Messages that it sends at once, per process and lane. */
  readonly maxConnections: number;
  /** Messages of the bulk lane it takes at once, those in line among them. Default: `maxConnections`. */
  readonly bulkMessages?: number;
  /** Its share of the bulk mail with `balance: 'weighted'`. Default 1. */
  readonly weight?: number;
  /** What whoever runs it should know, in one line, such as how much of a quota is used. */
  readonly notice?: string | undefined;
  /** Tells whether bulk mail may come. Started and stopped with the transport. Default: it always may. */
  readonly probe?: Probe;
  /**
   * Called once, at boot: opens the connections that are kept ready, and keeps them from then on. Resolves when they are
   * open or could not be opened; never rejects. What has no such connections leaves it out.
   */
  start?(monitor: TransportMonitor): Promise<void>;
  /** @throws TransportError */
  send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance>;
  /** Connects and authenticates. @throws TransportError */
  verify(signal: AbortSignal): Promise<void>;
  /**
   * How long a round trip takes now, in milliseconds, for a probe. It must not keep a message waiting. What cannot tell
   * leaves it out.
   *
   * @throws TransportError there was no answer, or the signal has aborted
   */
  ping?(signal: AbortSignal): Promise<number>;
  /** Lets messages in flight finish for at most `within` milliseconds, then hangs up. */
  close(within: number): Promise<void>;
}

/** Whose failure it is: this recipient's, this message's, or the transport's, which says nothing about the message. */
export type FailureScope = 'recipient' | 'message' | 'transport';

/**
 * What a failure means for the one who is to be served, and for the transport:
 *
 * - `recipient-refused`: for good, for this recipient
 * - `message-refused`: for good, for this message
 * - `recipient-deferred`: for now, for this recipient; spends one of its attempts
 * - `greylisted`: the same, and a server that wants to be asked again after some minutes
 * - `busy`: the transport takes less than it is given; spends no attempt
 * - `down`: the transport cannot be used; spends no attempt
 * - `unknown`: no answer came after the body was handed over
 */
export type FailureKind =
  'recipient-refused' | 'message-refused' | 'recipient-deferred' | 'greylisted' | 'busy' | 'down' | 'unknown';

export interface TransportErrorOptions {
  phase: Phase;
  outcome: Outcome;
  permanent: boolean;
  scope: FailureScope;
  /** Default: what the others say. */
  kind?: FailureKind;
  reply: string;
  replyCode?: number;
  enhancedCode?: string;
  /** The provider answered. Default: whether there is a reply code; an HTTP API has none. */
  answered?: boolean;
  /** Set when every recipient was refused. */
  rejections?: Rejection[];
  /** When it makes sense to try again, where that is known; milliseconds since the epoch. */
  retryAt?: number;
  cause?: unknown;
}

const MESSAGE_PHASES: ReadonlySet<Phase> = new Set(['mail', 'rcpt', 'data', 'body', 'final']);

/** One attempt on one transport failed. */
export class TransportError extends MailError {
  /** Its name. */
  readonly transport: string;
  readonly phase: Phase;
  readonly scope: FailureScope;
  readonly kind: FailureKind;
  readonly reply: string;
  declare readonly replyCode?: number;
  declare readonly enhancedCode?: string;
  /** The provider answered, if only to refuse. */
  readonly answered: boolean;
  readonly rejections: readonly Rejection[];
  declare readonly retryAt?: number;

  constructor(transport: string, options: TransportErrorOptions) {
    const reply = oneLine(options.reply);
    super(`${transport} at ${options.phase}: ${reply}`, { ...options, code: 'TRANSPORT' });
    this.transport = transport;
    this.phase = options.phase;
    this.scope = options.scope;
    this.kind = options.kind ?? kindOf(options);
    this.reply = reply;
    if (options.replyCode !== undefined) this.replyCode = options.replyCode;
    if (options.enhancedCode !== undefined) this.enhancedCode = options.enhancedCode;
    this.answered = options.answered ?? options.replyCode !== undefined;
    this.rejections = options.rejections ?? [];
    if (options.retryAt !== undefined) this.retryAt = options.retryAt;
  }

  /** The server answered what is about the message, or the message itself. */
  get answersMessage(): boolean {
    return this.answered && MESSAGE_PHASES.has(this.phase);
  }
}

function kindOf({ outcome, scope, permanent, replyCode }: TransportErrorOptions): FailureKind {
  if (outcome === 'unknown') return 'unknown';
  if (scope === 'transport') return replyCode === 421 ? 'busy' : 'down';
  if (!permanent) return 'recipient-deferred';
  return scope === 'recipient' ? 'recipient-refused' : 'message-refused';
}

/** The transport was not even asked: it is taken up, held back or away. */
export function notAsked(
  transport: string,
  reply: string,
  extra: { retryAt?: number; cause?: unknown } = {},
): TransportError {
  return new TransportError(transport, {
    phase: 'queue',
    outcome: 'not-sent',
    permanent: false,
    scope: 'transport',
    reply,
    ...extra,
  });
}
