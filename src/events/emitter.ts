import { channel } from 'node:diagnostics_channel';
import type { MailEventName, MailEvents } from './events.js';

type Listener<Name extends MailEventName> = (event: MailEvents[Name]) => unknown;

/**
 * Tells listeners what has happened. One that throws harms nobody. Each event is also published on the
 * `node:diagnostics_channel` named `nestjs-priority-mail:<event>`, with the mailer's name in `mailer`.
 */
export class MailEmitter {
  private readonly listeners = new Map<MailEventName, Set<Listener<never>>>();

  /**
   * @param mailer its name, or `default`
   * @param onError a listener threw, or the promise it returned was rejected
   */
  constructor(
    private readonly mailer: string,
    private readonly onError: (error: Error) => void,
  ) {}

  /** Returns what ends the listening. */
  on<Name extends MailEventName>(name: Name, listener: Listener<Name>): () => void {
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set.add(listener));
    return () => set.delete(listener);
  }

  emit<Name extends MailEventName>(name: Name, event: MailEvents[Name]): void {
    const published = channel(`nestjs-priority-mail:${name}`);
    if (published.hasSubscribers) published.publish({ mailer: this.mailer, ...event });
    for (const listener of this.listeners.get(name) ?? []) void this.tell(name, listener as Listener<Name>, event);
  }

  private async tell<Name extends MailEventName>(
    name: Name,
    listener: Listener<Name>,
    event: MailEvents[Name],
  ): Promise<void> {
    try {
      await listener(event);
    } catch (error) {
      this.onError(new Error(`A listener of the mail event ${name} failed: ${String(error)}`, { cause: error }));
    }
  }
}
