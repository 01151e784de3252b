import type { Lane } from '../message/message.js';
import { rawOf } from '../mime/encoded.js';
import type { Acceptance, Envelope, Outgoing, SendOptions, Transport } from '../transport/transport.js';

/** A message as a provider would have received it. */
export interface ReceivedMail {
  lane: Lane;
  envelope: Envelope;
  /** The message's source (RFC 5322). */
  raw: string;
}

/**
 * A transport that keeps what it is given instead of sending it. Everything before it is the application's own: validation,
 * merging and encoding run as in production.
 *
 * ```ts
 * const mailbox = new Mailbox();
 * MailModule.forRoot({ from: 'a@shop.example', transports: [mailbox], queue: false });
 * // …
 * expect(mailbox.to('reader@example.com')).toHaveLength(1);
 * ```
 */
export class Mailbox implements Transport {
  readonly lanes: readonly Lane[] = ['priority', 'bulk'];
  readonly maxConnections = 10;
  readonly received: ReceivedMail[] = [];

  constructor(readonly name = 'mailbox') {}

  /** The messages that this address is an envelope recipient of, in order. */
  to(address: string): ReceivedMail[] {
    return this.received.filter((mail) => mail.envelope.to.includes(address));
  }

  clear(): void {
    this.received.length = 0;
  }

  send({ envelope, ...bytes }: Outgoing, { lane }: SendOptions): Promise<Acceptance> {
    this.received.push({ lane, envelope, raw: rawOf(bytes).toString('utf8') });
    return Promise.resolve({ accepted: [...envelope.to], rejections: [], response: '250 2.0.0 kept in the mailbox' });
  }

  verify(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
