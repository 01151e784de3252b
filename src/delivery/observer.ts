import { reasonOf, type Outcome } from '../errors.js';
import type { RecipientFact } from './ledger.js';

/** How a message came to what was recorded about it. */
export interface Attempt {
  /** Milliseconds since its turn had come. */
  duration: number;
  /** `unknown`: it may have been accepted all the same. Default `not-sent`. */
  outcome?: Outcome;
  /** Of the error, where it was none of a server's. */
  code?: string;
  /** The slots of those whom a server refused by themselves and for good, at RCPT. */
  refused?: readonly string[];
}

/** Is told what becomes of a batch's messages. It must neither throw nor take long: see `harmless`. */
export interface DeliveryObserver {
  /** About recipients of one message. What is told is recorded, and not durable yet. */
  settled(index: number, facts: readonly RecipientFact[], attempt: Attempt): void;
}

/** The same, for whom a fault of the observer's is none of the delivery's. */
export function harmless(observer: DeliveryObserver, onError: (error: Error) => void): DeliveryObserver {
  return {
    settled(index, facts, attempt) {
      try {
        observer.settled(index, facts, attempt);
      } catch (error) {
        onError(new Error(`What becomes of message ${index} could not be told: ${reasonOf(error)}`, { cause: error }));
      }
    },
  };
}
