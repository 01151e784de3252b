import type { MailEmitter } from '../events/emitter.js';
import type { Source } from '../message/message.js';

/** The mail class or template behind each message, as the mailer's events tell. */
export class Sources {
  private readonly byId = new Map<string, Source>();
  private events: MailEmitter | undefined;

  listen(events: MailEmitter): void {
    if (this.events === events) return;
    this.events = events;
    const note = (id: string, source: Source | undefined): void => {
      if (source) this.byId.set(id, source);
    };
    events.on('queued', ({ id, source }) => note(id, source));
    events.on('sent', ({ id, source }) => note(id, source));
    events.on('campaign-queued', ({ campaignId, source }) => note(campaignId, source));
  }

  of(id: string, campaignId?: string): Source | undefined {
    return this.byId.get(id) ?? (campaignId === undefined ? undefined : this.byId.get(campaignId));
  }
}
