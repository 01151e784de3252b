import { expect } from 'vitest';
import type { MailEvents } from '../../src/events/events.js';
import { LANES, type Lane } from '../../src/message/message.js';
import { GuardedTransport } from '../../src/transport/guarded.js';
import type { RateLimit } from '../../src/transport/rate-limit.js';
import {
  TransportError,
  type Acceptance,
  type Outgoing,
  type SendOptions,
  type Transport,
  type TransportErrorOptions,
} from '../../src/transport/transport.js';
import { failure, mail } from './smtp.js';
import { quietEvents } from './routes.js';

/** A transport that answers as its test says. */
export class StubTransport implements Transport {
  readonly name = 'main';
  readonly region = 'eu';
  readonly lanes = LANES;
  readonly maxConnections = 5;
  sends = 0;
  checks = 0;
  onSend: (options: SendOptions) => Promise<void> = () => Promise.resolve();
  onVerify: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();

  async send({ envelope }: Outgoing, options: SendOptions): Promise<Acceptance> {
    this.sends++;
    await this.onSend(options);
    return { accepted: envelope.to, rejections: [], response: '250 Ok' };
  }

  verify(signal: AbortSignal): Promise<void> {
    this.checks++;
    return this.onVerify(signal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Nobody listens, unless it says otherwise. */
export function trouble(options: Partial<TransportErrorOptions> = {}): TransportError {
  return new TransportError('main', {
    phase: 'connect',
    outcome: 'not-sent',
    permanent: false,
    scope: 'transport',
    reply: 'connect ECONNREFUSED',
    ...options,
  });
}

/** The time at which a test's fake clock starts. */
export const NOW = Date.UTC(2026, 0, 1);

export interface Told {
  [name: string]: MailEvents[keyof MailEvents];
}

/** A stub behind a guard, and what the guard tells of it. */
export function guardedStub(limit?: RateLimit) {
  const stub = new StubTransport();
  const events = quietEvents();
  const told: Told[] = [];
  for (const name of ['transport-down', 'transport-up'] as const)
    events.on(name, (event) => told.push({ [name]: event }));
  const guard = new GuardedTransport(stub, events, { limit });
  const send = (lane: Lane = 'priority', options: Partial<SendOptions> = {}): Promise<Acceptance> =>
    guard.send(mail(), { lane, signal: new AbortController().signal, ...options });
  return { stub, guard, told, send };
}

/** A stub that has failed so often at {@link NOW} that its circuit is open, until a second from then. */
export async function downStub(limit?: RateLimit) {
  const down = guardedStub(limit);
  down.stub.onSend = down.stub.onVerify = () => Promise.reject(trouble());
  for (let count = 0; count < 3; count++) await failure(down.send());
  expect(down.guard.standing.circuit).toMatchObject({ state: 'open', until: NOW + 1_000 });
  down.stub.sends = 0;
  return down;
}
