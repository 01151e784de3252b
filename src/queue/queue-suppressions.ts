import type { RecordedSuppressions } from '../feedback/recorded-suppressions.js';
import type { SuppressedMail, Suppression, SuppressionFilter, SuppressionList } from '../feedback/suppression.js';
import type { StoreAccess } from './store-access.js';

/** The list on the queue's store. What cannot be asked is told by a MailQueueUnavailableError; the first entry makes the store. */
export class QueueSuppressions implements SuppressionList {
  constructor(
    private readonly access: StoreAccess,
    private readonly recorded: RecordedSuppressions,
  ) {}

  find(addresses: readonly string[], mail: SuppressedMail): Promise<Map<string, Suppression>> {
    return this.access.ask(() => this.recorded.find(addresses, mail), new Map<string, Suppression>());
  }

  get(address: string): Promise<Suppression[]> {
    return this.access.ask(() => this.recorded.get(address), []);
  }

  add(suppressions: readonly Suppression[]): Promise<void> {
    return this.access.tell(() => this.recorded.add(suppressions));
  }

  remove(address: string, which?: SuppressionFilter): Promise<boolean> {
    return this.access.ask(() => this.recorded.remove(address, which), false);
  }

  list(): AsyncIterable<Suppression> {
    return this.access.askMany(() => this.recorded.list());
  }
}
