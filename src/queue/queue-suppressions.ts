import type { RecordedSuppressions } from '../feedback/recorded-suppressions.js';
import type { SuppressedMail, Suppression, SuppressionList, SuppressionScope } from '../feedback/suppression.js';

/** What opens the store, and words what it cannot do. */
interface Asked {
  ask<T>(question: () => Promise<T>, otherwise: T): Promise<T>;
  askMany<T>(question: () => AsyncIterable<T>): AsyncIterable<T>;
  tell(order: () => Promise<void>): Promise<void>;
}

/** The list on the queue's store. What cannot be asked is told by a MailQueueUnavailableError; the first entry makes the store. */
export class QueueSuppressions implements SuppressionList {
  constructor(
    private readonly queue: Asked,
    private readonly recorded: RecordedSuppressions,
  ) {}

  find(addresses: readonly string[], mail: SuppressedMail): Promise<Map<string, Suppression>> {
    return this.queue.ask(() => this.recorded.find(addresses, mail), new Map<string, Suppression>());
  }

  get(address: string): Promise<Suppression[]> {
    return this.queue.ask(() => this.recorded.get(address), []);
  }

  add(suppressions: readonly Suppression[]): Promise<void> {
    return this.queue.tell(() => this.recorded.add(suppressions));
  }

  remove(address: string, scope?: SuppressionScope): Promise<boolean> {
    return this.queue.ask(() => this.recorded.remove(address, scope), false);
  }

  list(): AsyncIterable<Suppression> {
    return this.queue.askMany(() => this.recorded.list());
  }
}
