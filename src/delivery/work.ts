import type { Suppression } from '../feedback/suppression.js';
import type { Encoded } from '../mime/encoded.js';
import type { Dispatch } from '../transport/dispatch.js';
import type { OutgoingMail } from '../transport/transport.js';
import type { EnvelopeSenders } from './envelope-senders.js';
import type { MessageTraces } from './traced.js';

/** One message of a batch as bytes, and its envelope sender. */
export interface Written extends Encoded {
  sender: string;
  mail: OutgoingMail;
  /** Its envelope recipients, where they are not those of the batch. */
  recipients?: readonly string[];
}

/** A batch to deliver: its messages, each rendered when its turn has come. */
export interface BatchWork {
  id: string;
  size: number;
  /** The envelope recipients of a message, in an order that never changes. */
  recipients(index: number): readonly string[];
  /** @throws MailError when this message alone cannot be made */
  write(index: number): Written | Promise<Written>;
  /** The transports it may take. */
  dispatch: Dispatch;
  /** Undefined where nothing is traced. */
  traces?: MessageTraces;
  /** Why nothing of it can be sent for now, such as an attachment that is not there. */
  blocked?: string;
  expiresAt?: number;
}

/** What the outside says while a batch runs. */
export interface BatchControl {
  /** Messages of this batch at once. */
  concurrency: number;
  /** Waits for a turn among all batches of the process. A message that was started has a connection, or is next in line. */
  enter(): Promise<() => void>;
  /** Asked before each message. False ends the run: time is up, the lock is in doubt, somebody paused it. */
  mayContinue(): boolean;
  /** Asked before a body leaves: whether the batch is still this worker's. */
  isHeld(): boolean;
  isCancelled(index: number): boolean;
  /** Why an envelope recipient is not to get this mail. Default: nobody is suppressed. */
  suppressed?: (address: string) => Suppression | undefined;
  /** How many workers died, or were taken for dead, that had this batch. */
  deaths: number;
  /** Hangs up on messages in flight. */
  signal: AbortSignal;
  /** Default: the address in From. */
  senders?: EnvelopeSenders;
  /** By which next attempts are due, and messages expire. Default `Date.now`. */
  now?: () => number;
}

/**
 * Why a run ended before it had tried everything that was due: the transports failed, none of them has room, something that the
 * batch needs is not there, they refuse this batch's messages (`refusal`), or they said when they take mail again, as with a
 * rate limit.
 */
export type Hold = { by: 'trouble' | 'room' | 'missing' | 'refusal'; reason: string } | { by: 'limit' };

/** `done`: every recipient is settled. Otherwise when to go on, at the earliest. */
export type BatchResult = { state: 'done' } | { state: 'pending'; nextAt: number; hold?: Hold };

/** The name of a recipient in the ledger: its message's place, and its own where there are several. */
export function slotOf(work: Pick<BatchWork, 'recipients'>, index: number, recipient: number): string {
  return work.recipients(index).length === 1 ? String(index) : `${index}.${recipient}`;
}

/** The recipient's place, of a name that `slotOf` has made. */
export function placeOf(slot: string): number {
  const [, place = '0'] = slot.split('.');
  return Number(place);
}
