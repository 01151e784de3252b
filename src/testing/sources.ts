import type { MailEmitter } from '../events/emitter.js';
import { splitMessageId } from '../message/ids.js';
import type { Source } from '../message/message.js';
import type { MemoryLane } from './queued-mail.js';

/** The mail class or template behind each message that was sent, which its bytes do not tell. */
export class Sources {
  /** Where messages of the bulk lane come from. */
  lane: MemoryLane | undefined;
  private readonly byId = new Map<string, Source>();
  private events: MailEmitter | undefined;

  /** For those of the priority lane. */
  listen(events: MailEmitter): void {
    if (this.events === events) return;
    this.events = events;
    events.on('sent', ({ id, source }) => {
      if (source) this.byId.set(id, source);
    });
  }

  of(id: string): Source | undefined {
    return this.byId.get(id) ?? this.inQueue(splitMessageId(id)?.batch);
  }

  private inQueue(batch: string | undefined): Source | undefined {
    const { lane } = this;
    const job = lane && batch !== undefined ? lane.backend.jobs.get(batch) : undefined;
    const read = job && lane?.format.readHere(job.data);
    return read && 'batch' in read ? read.batch.shared.source : undefined;
  }
}
