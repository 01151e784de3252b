import type { Store } from '../store/store.js';
import { answered } from './answered.js';
import type { Flusher } from './flush.js';

/** The store as the application asks it: it is opened first, or not at all, and an answer that does not come is an error. */
export class StoreAccess {
  constructor(
    private readonly store: Store,
    private readonly flusher: Flusher,
  ) {}

  /**
   * Asks the store something. Where nothing was ever queued there is nothing to ask, and nothing is created for it.
   *
   * @throws MailQueueUnavailableError
   */
  async ask<T>(question: () => Promise<T>, otherwise: T): Promise<T> {
    if (!(await this.store.exists())) return otherwise;
    await this.flusher.reach();
    return answered(question());
  }

  /** Tells the store something, creating it if it is not there. @throws MailQueueUnavailableError */
  async tell(order: () => Promise<void>): Promise<void> {
    await this.flusher.reach();
    await answered(order());
  }

  /** The same as `ask` for an answer in parts. @throws MailQueueUnavailableError */
  async *askMany<T>(question: () => AsyncIterable<T>): AsyncIterable<T> {
    if (!(await this.store.exists())) return;
    await this.flusher.reach();
    const answers = question()[Symbol.asyncIterator]();
    for (let next = await answered(answers.next()); !next.done; next = await answered(answers.next())) yield next.value;
  }
}
