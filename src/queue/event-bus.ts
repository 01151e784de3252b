import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventRelay, MailEmitter } from '../events/emitter.js';
import type { MailEventName, MailEvents } from '../events/events.js';
import type { Records } from '../store/records.js';
import type { Sealer } from '../store/sealing.js';
import { keys } from './keys.js';

/** What carries texts to every process of a queue. */
export interface EventLine {
  publish(text: string): Promise<void>;
  /** Hears what is published from now on, reconnecting by itself. Returns what ends that. */
  listen(hear: (text: string) => void): () => Promise<void>;
}

/** How often listeners say that they are there, and the others look for them. */
const LOOK_EVERY = 5_000;
/** Who listens stands in a record for each of these spans, and in that of the next one. Milliseconds. */
const SPAN = 60_000;
/** Between two publications, each of so many characters: what the store takes at most of a flood, and keeps. */
const PUBLISH_EVERY = 20;
const PUBLISHED_LENGTH = 16_000;
/** What may wait to be published, in characters. More is dropped. */
const WAITING_LENGTH = 1_000_000;
const SAY_DROPPED_EVERY = 60_000;
/** What sealed events are bound to. */
const PLACE = 'events';

/**
 * Carries events to other processes of the same queue in which somebody wants to hear them. Best effort: delivery never
 * waits for it, and what is too much for it is dropped.
 */
export class EventBus implements EventRelay {
  private readonly process = randomBytes(6).toString('base64url');
  private wanted: ReadonlySet<string> = new Set();
  /** JSON texts of events, in order. */
  private waiting: string[] = [];
  private waitingLength = 0;
  private publishing: Promise<void> | undefined;
  private dropped = 0;
  private saidAt = -Infinity;
  private looking: NodeJS.Timeout | undefined;
  private hangUp: (() => Promise<void>) | undefined;
  private closed = false;

  constructor(
    private readonly line: EventLine,
    private readonly records: Records,
    private readonly sealer: Sealer,
    private readonly events: Pick<MailEmitter, 'hear' | 'wantedOfAll'>,
    private readonly onError: (error: Error) => void,
  ) {}

  /** Once the store is open. */
  start(): void {
    if (this.closed) return;
    const look = (): void => void this.look().catch(this.onError);
    this.looking = setInterval(look, LOOK_EVERY);
    this.looking.unref();
    look();
  }

  wants(name: MailEventName): boolean {
    return this.wanted.has(name);
  }

  publish<Name extends MailEventName>(name: Name, event: MailEvents[Name]): void {
    const text = JSON.stringify([name, plain(event)]);
    if (this.closed || this.waitingLength + text.length > WAITING_LENGTH) {
      this.dropped++;
      return;
    }
    this.waiting.push(text);
    this.waitingLength += text.length;
    this.publishing ??= this.publishAll().finally(() => (this.publishing = undefined));
  }

  /** Publishes what waits, and hears nothing more. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.looking);
    await this.publishing;
    await this.hangUp?.();
  }

  /** Tells the others what is wanted here, and asks what they want. */
  private async look(): Promise<void> {
    const span = Math.floor(Date.now() / SPAN);
    const here = this.events.wantedOfAll;
    if (here.length > 0) {
      this.hangUp ??= this.line.listen((text) => this.hear(text));
      const fields = { [this.process]: here.join(' ') };
      const spans = [span, span + 1].map((one) => keys.listeners(one));
      await this.records.merge(spans.map((key) => ({ key, fields })));
      await this.records.expire(spans, (span + 3) * SPAN);
    }
    const [listeners = {}] = await this.records.get([keys.listeners(span)]);
    const others = Object.entries(listeners).filter(([process]) => process !== this.process);
    this.wanted = new Set(others.flatMap(([, names]) => names.split(' ')));
  }

  private async publishAll(): Promise<void> {
    while (this.waiting.length > 0) {
      const group = this.take();
      try {
        await this.line.publish(this.sealer.write({ from: this.process, events: group }, PLACE));
      } catch (error) {
        this.dropped += group.length;
        this.onError(error as Error);
      }
      this.sayDropped();
      if (!this.closed) await sleep(PUBLISH_EVERY, undefined, { ref: false });
    }
  }

  private take(): string[] {
    let length = 0;
    let count = 0;
    for (const text of this.waiting) {
      length += text.length;
      if (count > 0 && length > PUBLISHED_LENGTH) break;
      count++;
    }
    const group = this.waiting.splice(0, count);
    this.waitingLength -= group.reduce((sum, text) => sum + text.length, 0);
    return group;
  }

  private sayDropped(): void {
    const now = performance.now();
    if (this.dropped === 0 || now - this.saidAt < SAY_DROPPED_EVERY) return;
    this.saidAt = now;
    const { dropped } = this;
    this.dropped = 0;
    this.onError(
      new Error(`${dropped} mail events were not told to other processes: the store takes fewer than there are.`),
    );
  }

  private hear(text: string): void {
    // Undefined: sealed with a key that is not here.
    const heard = this.sealer.read(text, PLACE) as { from: string; events: string[] } | undefined;
    if (!heard || heard.from === this.process) return;
    for (const one of heard.events) {
      const [name, event] = JSON.parse(one, revive) as [MailEventName, MailEvents[MailEventName]];
      this.events.hear(name, event);
    }
  }
}

/** Of an event's own members only: no event has a date any deeper. */
function plain(event: object): object {
  return Object.fromEntries(
    Object.entries(event).map(([key, value]) => [key, value instanceof Date ? { date: value.getTime() } : value]),
  );
}

function revive(_key: string, value: unknown): unknown {
  const isDate = typeof value === 'object' && value !== null && Object.keys(value).join() === 'date';
  return isDate ? new Date((value as { date: number }).date) : value;
}
