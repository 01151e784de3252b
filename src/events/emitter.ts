import { channel, type Channel } from 'node:diagnostics_channel';
import type { MailEventName, MailEvents } from './events.js';

type Listener<Name extends MailEventName> = (event: MailEvents[Name]) => unknown;

/** Carries events to the other processes of the same mailer, while one of them listens. */
export interface EventRelay {
  wants(name: MailEventName): boolean;
  publish<Name extends MailEventName>(name: Name, event: MailEvents[Name]): void;
}

/** `listeners` do something about it, here or in other processes; `observers` only watch this one: metrics, and channels. */
export type Audience = 'listeners' | 'observers';

/**
 * Tells listeners what has happened. One that throws harms nobody. Each event is also published on the
 * `node:diagnostics_channel` named `nestjs-priority-mail:<event>`, with the mailer's name in `mailer`.
 */
export class MailEmitter {
  private readonly listeners = new Map<MailEventName, Set<Listener<never>>>();
  /** Those among the listeners that hear other processes too. */
  private readonly everywhere = new Map<MailEventName, Set<Listener<never>>>();
  private readonly observers = new Map<MailEventName, Set<Listener<never>>>();
  private readonly channels = new Map<MailEventName, Channel>();
  /** Set where there are other processes. */
  relay: EventRelay | undefined;

  /**
   * @param mailer its name, or `default`
   * @param onError a listener threw, or the promise it returned was rejected
   */
  constructor(
    private readonly mailer: string,
    private readonly onError: (event: MailEventName, reason: unknown) => void,
  ) {}

  /** Returns what ends the listening. */
  on<Name extends MailEventName>(name: Name, listener: Listener<Name>): () => void {
    return enter(this.listeners, name, listener);
  }

  /** The same for events of all processes. */
  onAll<Name extends MailEventName>(name: Name, listener: Listener<Name>): () => void {
    const leave = [this.listeners, this.everywhere].map((set) => enter(set, name, listener));
    return () => leave.forEach((one) => one());
  }

  /** For what counts: nobody is passed over because of it. Returns what ends it. */
  observe<Name extends MailEventName>(name: Name, observer: Listener<Name>): () => void {
    return enter(this.observers, name, observer);
  }

  /** Whether anybody listens: what nobody hears need not be made. */
  wants(name: MailEventName, audience?: Audience): boolean {
    if (audience === 'listeners') return (this.listeners.get(name)?.size ?? 0) > 0 || this.relay?.wants(name) === true;
    if (audience === 'observers') return (this.observers.get(name)?.size ?? 0) > 0 || this.channel(name).hasSubscribers;
    return this.wants(name, 'listeners') || this.wants(name, 'observers');
  }

  /** The events of other processes that somebody here wants to hear. */
  get wantedOfAll(): MailEventName[] {
    return [...this.everywhere].flatMap(([name, { size }]) => (size > 0 ? [name] : []));
  }

  /** @param audience default both */
  emit<Name extends MailEventName>(name: Name, event: MailEvents[Name], audience?: Audience): void {
    if (audience !== 'listeners') {
      const published = this.channel(name);
      if (published.hasSubscribers) published.publish({ mailer: this.mailer, ...event });
      this.tellAll(this.observers, name, event);
    }
    if (audience === 'observers') return;
    this.tellAll(this.listeners, name, event);
    if (this.relay?.wants(name) === true) this.relay.publish(name, event);
  }

  /** It happened in another process. */
  hear<Name extends MailEventName>(name: Name, event: MailEvents[Name]): void {
    this.tellAll(this.everywhere, name, event);
  }

  private tellAll<Name extends MailEventName>(
    listeners: Map<MailEventName, Set<Listener<never>>>,
    name: Name,
    event: MailEvents[Name],
  ): void {
    for (const listener of listeners.get(name) ?? []) void this.tell(name, listener as Listener<Name>, event);
  }

  private async tell<Name extends MailEventName>(
    name: Name,
    listener: Listener<Name>,
    event: MailEvents[Name],
  ): Promise<void> {
    try {
      await listener(event);
    } catch (error) {
      this.report(name, error);
    }
  }

  private report(event: MailEventName, reason: unknown): void {
    try {
      this.onError(event, reason);
    } catch {
      // A log that fails is nobody's to tell, and is to end no process.
    }
  }

  private channel(name: MailEventName): Channel {
    let known = this.channels.get(name);
    if (!known) this.channels.set(name, (known = channel(`nestjs-priority-mail:${name}`)));
    return known;
  }
}

function enter<Name extends MailEventName>(
  listeners: Map<MailEventName, Set<Listener<never>>>,
  name: Name,
  listener: Listener<Name>,
): () => void {
  const set = listeners.get(name) ?? new Set();
  listeners.set(name, set.add(listener));
  return () => set.delete(listener);
}
