import type { MailEmitter } from '../events/emitter.js';
import type { Queueable } from '../queue/batch.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { Once } from '../queue/once.js';
import { collectDuring, collectionFor, type MailerPart } from './collecting.js';
import { Collection } from './collection.js';
import type { CollectSettings, OnCollectError } from './options/collect.js';
import type { MailSettings } from './options/parse.js';

/** One mailer's part in collecting: opens its collections, and knows which one is open around a call. */
export class Collector implements MailerPart {
  private readonly collect: CollectSettings;

  /** @param onFailure told of a flush that failed where the caller is told of another failure */
  constructor(
    readonly mailer: string,
    private readonly settings: Pick<MailSettings, 'collect' | 'priority'>,
    private readonly queue: MailQueue | undefined,
    private readonly once: Once,
    private readonly events: Pick<MailEmitter, 'emit'>,
    private readonly onFailure: (error: Error) => void,
  ) {
    this.collect = settings.collect;
  }

  get onError(): OnCollectError {
    return this.collect.onError;
  }

  /** The collection that a bulk message sent now joins. */
  get current(): Collection | undefined {
    return collectionFor(this);
  }

  /** Collects this mailer's mail that is sent while `work` runs. */
  during<T>(work: () => T, onError?: OnCollectError): T | Promise<Awaited<T>> {
    const covers = (part: MailerPart): boolean => part === this;
    return collectDuring({ covers, ...(onError ? { onError } : {}) }, work);
  }

  open(): Collection | undefined {
    const { queue } = this;
    if (!queue) return undefined;
    const queueOnce = (id: string, message: Queueable): Promise<unknown> => this.queueOnce(queue, id, message);
    return new Collection(queue.gather(), queueOnce, this.collect, this.events);
  }

  report(error: unknown): void {
    this.onFailure(error as Error);
  }

  private queueOnce(queue: MailQueue, id: string, message: Queueable): Promise<unknown> {
    const { timeout, retryUnknown } = this.settings.priority;
    return this.once.run(id, { lane: 'bulk', timeout, retryUnknown }, (fresh) => queue.send(message, { id, fresh }));
  }
}
