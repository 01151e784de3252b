import type { Lane } from '../message/message.js';
import { rawOf } from '../mime/encoded.js';
import type { Acceptance, Outgoing, Rejection } from '../transport/transport.js';
import { failureAt, type Failure } from './failures.js';
import { SentMail } from './sent-mail.js';
import type { Sources } from './sources.js';
import { isAddress } from './wanted.js';

/** Which message fails, and how often that happens. */
export interface FailOptions {
  /** So many messages, or attempts at one. Default 1. */
  times?: number;
  /** Only this recipient of a message is refused, and a message without it is taken. The case does not count. */
  to?: string;
  /** At this transport alone; the message may go to the next one. Default: at each that is tried for it. */
  transport?: string;
  lane?: Lane;
}

interface Planned {
  failure: Failure;
  options: FailOptions;
  left: number;
}

/** What the transports of an application under test have taken, and what they are to refuse. */
export class Outbox {
  readonly sent: SentMail[] = [];
  /** The transports that hand over to it, until they are closed. */
  readonly users = new Set<object>();
  private readonly planned: Planned[] = [];
  /** What a message has met at one transport it meets at the next. */
  private readonly failing = new WeakMap<Outgoing, Planned>();

  constructor(private readonly sources: Sources) {}

  plan(failure: Failure, options: FailOptions): void {
    this.planned.push({ failure, options, left: options.times ?? 1 });
  }

  clear(): void {
    this.sent.length = 0;
    this.planned.length = 0;
  }

  /** @throws TransportError */
  take(transport: string, outgoing: Outgoing, lane: Lane): Acceptance {
    const { envelope } = outgoing;
    const refused = this.refuse(transport, outgoing, lane);
    const accepted = envelope.to.filter((address) => !refused.some((one) => one.address === address));
    const kept = { from: envelope.from, to: accepted };
    this.sent.push(new SentMail(transport, lane, kept, rawOf(outgoing), this.sources));
    return { accepted, rejections: refused, response: '250 2.0.0 Ok: kept by MailFake' };
  }

  /** Those that are refused while others are not. @throws TransportError when the message is not taken at all */
  private refuse(transport: string, outgoing: Outgoing, lane: Lane): Rejection[] {
    const plan = this.failing.get(outgoing) ?? this.next(transport, outgoing, lane);
    if (!plan) return [];
    const { failure, options } = plan;
    if (options.transport === undefined) this.failing.set(outgoing, plan);
    const { to } = outgoing.envelope;
    const concerned = to.filter((address) => isConcerned(address, options));
    const error = failureAt(transport, failure, concerned);
    if (concerned.length >= to.length || error.rejections.length === 0) throw error;
    return [...error.rejections];
  }

  private next(transport: string, { envelope }: Outgoing, lane: Lane): Planned | undefined {
    const plan = this.planned.find(
      ({ left, options }) =>
        left > 0 &&
        (options.transport ?? transport) === transport &&
        (options.lane ?? lane) === lane &&
        envelope.to.some((address) => isConcerned(address, options)),
    );
    if (plan) plan.left--;
    return plan;
  }
}

function isConcerned(address: string, { to }: FailOptions): boolean {
  return to === undefined || isAddress(address, to);
}
