import { setTimeout as sleep } from 'node:timers/promises';
import type { EventLine } from './event-bus.js';

/** The part of BullMQ's `QueueEvents` that is used here. */
interface Subscriber {
  on(event: never, listener: (fields: never) => void): unknown;
  /** Reads until it is closed; rejects when it cannot begin. */
  run(): Promise<void>;
  close(): Promise<void>;
}

/** The part of BullMQ's `QueueEventsProducer` that is used here. */
interface Publisher {
  on(event: 'error', listener: (error: Error) => void): unknown;
  publishEvent(fields: { eventName: string; text: string }, maxEvents: number): Promise<void>;
}

/** Among BullMQ's own events of the queue. */
const EVENT = 'priority-mail';
/** What the store keeps of the queue's events, about. */
export const EVENTS_KEPT = 1_000;
const RETRY_EVERY = 1_000;

/** Carries events over the event stream that BullMQ has for each queue. */
export class BullEventLine implements EventLine {
  private publisher: Publisher | undefined;

  constructor(
    private readonly createPublisher: () => Publisher,
    private readonly createSubscriber: () => Promise<Subscriber>,
    private readonly onError: (error: Error) => void,
  ) {}

  async publish(text: string): Promise<void> {
    if (!this.publisher) {
      this.publisher = this.createPublisher();
      this.publisher.on('error', this.onError);
    }
    await this.publisher.publishEvent({ eventName: EVENT, text }, EVENTS_KEPT);
  }

  listen(hear: (text: string) => void): () => Promise<void> {
    const reader = new Reading(this.createSubscriber, hear, this.onError);
    const reading = reader.run();
    return async () => {
      await reader.close();
      await reading;
    };
  }
}

/** Reads the stream until it is closed. */
class Reading {
  private subscriber: Subscriber | undefined;
  private closed = false;

  constructor(
    private readonly createSubscriber: () => Promise<Subscriber>,
    private readonly hear: (text: string) => void,
    private readonly onError: (error: Error) => void,
  ) {}

  async run(): Promise<void> {
    while (!this.closed) {
      try {
        this.subscriber ??= await this.subscribe();
        // What was created too late to be closed.
        if (this.closed) await this.subscriber.close();
        else await this.subscriber.run();
      } catch (error) {
        this.say(error as Error);
        await sleep(RETRY_EVERY, undefined, { ref: false });
      }
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.subscriber?.close();
  }

  private async subscribe(): Promise<Subscriber> {
    const subscriber = await this.createSubscriber();
    subscriber.on('error' as never, this.say);
    subscriber.on(EVENT as never, ({ text }: { text: string }) => this.hear(text));
    return subscriber;
  }

  private readonly say = (error: Error): void => {
    if (!this.closed) this.onError(error);
  };
}
