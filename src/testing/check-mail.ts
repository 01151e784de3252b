import assert from 'node:assert/strict';
import type { Lane, Message } from '../message/message.js';
import { compose, envelopeAddress } from '../mime/compose.js';
import {
  TransportError,
  type Acceptance,
  type FailureKind,
  type Outgoing,
  type SendOptions,
  type Transport,
} from '../transport/transport.js';

type Named = Partial<Record<'to' | 'cc' | 'bcc', string[]>>;

interface Content extends Partial<Omit<Message, 'to' | 'cc' | 'bcc'>> {
  /** Those that the message is for this time. Default: all whom it names. */
  envelope?: string[];
  /** The envelope's sender. Default: the address in From. */
  sender?: string;
}

const SHOP = 'shop@shop.example';
let count = 0;

/** A message as a lane hands it over. */
export async function mailOf(
  { to = [], cc = [], bcc = [] }: Named,
  { envelope = [...to, ...cc, ...bcc], sender = SHOP, ...content }: Content = {},
): Promise<Outgoing> {
  const named = (addresses: string[]): Message['to'] => addresses.map((address) => ({ name: '', address }));
  const message: Message = {
    from: { name: 'Shop', address: SHOP },
    replyTo: [],
    subject: 'Your order',
    text: 'It is on its way.',
    headers: [],
    attachments: [],
    ...content,
    to: named(to),
    cc: named(cc),
    bcc: named(bcc),
  };
  const id = `contract-${process.pid}.${++count}`;
  const messageId = `<${id}@shop.example>`;
  return {
    ...(await compose(message, { messageId, date: new Date() })),
    envelope: { from: sender, to: envelope.map(envelopeAddress) },
    mail: { id, messageId, message: () => message },
  };
}

/** Of one attempt. */
export function options(lane: Lane = 'priority', signal: AbortSignal = new AbortController().signal): SendOptions {
  return { lane, signal };
}

export async function send(
  transport: Transport,
  named: Named,
  content: Content = {},
  signal?: AbortSignal,
  lane = transport.lanes[0]!,
): Promise<Acceptance> {
  return transport.send(await mailOf(named, content), options(lane, signal));
}

/** @throws AssertionError it was taken, or what was thrown says nothing to the lanes */
export async function failureOf(work: Promise<unknown>): Promise<TransportError> {
  const error = await work.then(
    () => assert.fail('it was taken'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TransportError, `it throws a TransportError; it threw ${String(error)}`);
  return error;
}

const PERMANENT: readonly FailureKind[] = ['recipient-refused', 'message-refused'];

/** @throws AssertionError it was taken, or refused for another reason */
export async function refused(work: Promise<unknown>, kind: FailureKind): Promise<void> {
  const error = await failureOf(work);
  const { outcome, permanent } = error;
  const expected = { kind, outcome: kind === 'unknown' ? 'unknown' : 'not-sent', permanent: PERMANENT.includes(kind) };
  assert.deepEqual({ kind: error.kind, outcome, permanent }, expected, error.message);
  assert.notEqual(error.reply, '', 'the reply is empty');
}

/** Of each mail, in the order of the alphabet. */
export function recipients(mails: readonly { recipients: readonly string[] }[]): string[][] {
  return mails.map((mail) => [...mail.recipients].sort());
}
