import { randomBytes } from 'node:crypto';
import { LANES, type Lane } from '../message/message.js';
import type { Fields } from '../store/records.js';
import type { Store } from '../store/store.js';
import { keys } from './keys.js';
import type { FeedbackType } from '../feedback/feedback.js';
import { FeedbackTally, type FeedbackStats } from './feedback/tally.js';
import { Tally, type MailCounts, type TransportStats } from './tally.js';

/** What happened to mail in a span of time, in all processes. Numbers are recipients. */
export interface MailStats {
  /** What was asked for, rounded down to the minute; to the hour where that is more than two days ago. */
  since: Date;
  until: Date;
  total: MailCounts;
  lanes: Record<Lane, MailCounts>;
  /** By name, those that anything went through. */
  transports: Record<string, TransportStats>;
  /** What was reported of mail after it was sent. With `transport` it is all transports' all the same. */
  feedback: FeedbackStats;
}

/** What is asked for. */
export interface StatsRange {
  /** Milliseconds since the epoch. */
  since: number;
  lane?: Lane;
  transport?: string;
}

const DAY = 24 * 3_600_000;
const UNITS = {
  minute: { length: 60_000, kept: 2 * DAY },
  hour: { length: 3_600_000, kept: 90 * DAY },
} as const;
type Unit = keyof typeof UNITS;

/** How far back they go. Milliseconds. */
export const STATS_KEPT = UNITS.hour.kept;

const WRITE_EVERY = 5_000;
/** What is read may expire a moment later. */
const SPARE = 2 * UNITS.hour.length;

/** Before the process's name, in the name of the field with what was reported. */
const FEEDBACK = 'feedback ';

/** One minute or hour of this process. */
interface Span {
  readonly key: string;
  readonly end: number;
  /** When its record may go. */
  readonly keptUntil: number;
  readonly tally: Tally;
  readonly feedback: FeedbackTally;
  /** There is something in it that was not written. */
  changed: boolean;
  /** Its record goes by itself. */
  expires: boolean;
}

/**
 * Counts what happens in this process, and writes it down for all of them: a record for each minute and hour, in which each
 * process has a field of its own with what it has counted so far. Writing it again does no harm.
 */
export class Statistics {
  private readonly process = randomBytes(6).toString('base64url');
  /** What is still being counted, was not written, or cannot be. */
  private readonly spans = new Map<string, Span>();
  private minute: Span;
  private hour: Span;
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();

  /** @param store without one the numbers stay in this process */
  constructor(
    private readonly store: Pick<Store, 'records' | 'exists' | 'ready'> | undefined,
    private readonly onError: (error: Error) => void,
  ) {
    const now = Date.now();
    this.minute = this.span('minute', now);
    this.hour = this.span('hour', now);
  }

  /** @param transport that they went through, or were refused by */
  count(lane: Lane, what: keyof MailCounts, recipients: number, transport = ''): void {
    for (const span of this.current()) {
      span.tally.count(lane, what, recipients, transport);
      span.changed = true;
    }
  }

  /** A message was accepted after so many milliseconds. */
  delivered(lane: Lane, transport: string, duration: number): void {
    for (const { tally } of this.current()) tally.delivered(lane, transport, duration);
  }

  /** @param lane of the mail; undefined: none of ours fits the report */
  countFeedback(type: FeedbackType, lane: Lane | undefined): void {
    for (const span of this.current()) {
      span.feedback.count(type, lane);
      span.changed = true;
    }
  }

  /** A report was not believed. */
  refuse(source: string, reason: string): void {
    for (const span of this.current()) {
      span.feedback.refuse(source, reason);
      span.changed = true;
    }
  }

  start(): void {
    this.timer = setInterval(() => void this.write().catch(this.onError), WRITE_EVERY);
    this.timer.unref();
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.write();
  }

  /** @param read records of all processes; default: there are no others */
  async report(range: StatsRange, read?: (keys: string[]) => Promise<(Fields | undefined)[]>): Promise<MailStats> {
    const until = Date.now();
    const { since, keys: wanted } = spansSince(range.since, until);
    const own = wanted.map((key) => this.spans.get(key));
    const stored = (await read?.(wanted)) ?? [];
    const sum = new Tally();
    const feedback = new FeedbackTally();
    for (const [index, span] of own.entries()) {
      if (span) sum.addAll(span.tally, range);
      if (span) feedback.addAll(span.feedback);
      for (const [field, text] of Object.entries(stored[index] ?? {})) {
        const process = field.replace(FEEDBACK, '');
        if (process === this.process && span) continue;
        if (process === field) sum.addAll(Tally.read(text), range);
        else feedback.addAll(FeedbackTally.read(text));
      }
    }
    const lanes = { priority: sum.counts('priority'), bulk: sum.counts('bulk') };
    const total = LANES.map((lane) => lanes[lane]).reduce(plus);
    const span = { since: new Date(since), until: new Date(until) };
    return { ...span, total, lanes, transports: sum.transports(), feedback: feedback.stats(range) };
  }

  /** One after the other, so that the latest numbers come last. */
  private write(): Promise<void> {
    const written = this.writing.then(() => this.writeChanged());
    this.writing = written.catch(() => undefined);
    return written;
  }

  private async writeChanged(): Promise<void> {
    const changed = [...this.spans.values()].filter((span) => span.changed);
    if (changed.length === 0 || !this.store || !(await this.store.exists())) return;
    const { records } = this.store;
    // What is counted while they are written is written the next time.
    for (const span of changed) span.changed = false;
    try {
      await this.store.ready();
      await records.merge(changed.map((span) => ({ key: span.key, fields: this.fieldsOf(span) })));
      for (const span of changed.filter(({ expires }) => !expires)) {
        await records.expire([span.key], span.keptUntil);
        span.expires = true;
      }
    } catch (error) {
      for (const span of changed) span.changed = true;
      throw error;
    }
    this.forget(Date.now(), ({ end, changed: again }) => !again && end <= Date.now());
  }

  private fieldsOf({ tally, feedback }: Span): Fields {
    const reported = feedback.empty ? {} : { [`${FEEDBACK}${this.process}`]: feedback.text() };
    return { [this.process]: tally.text(), ...reported };
  }

  private current(): readonly [Span, Span] {
    const now = Date.now();
    if (now >= this.minute.end) {
      this.minute = this.span('minute', now);
      if (now >= this.hour.end) this.hour = this.span('hour', now);
      this.forget(now, ({ keptUntil }) => keptUntil <= now);
    }
    return [this.minute, this.hour];
  }

  private span(unit: Unit, at: number): Span {
    const { length, kept } = UNITS[unit];
    const index = Math.floor(at / length);
    const end = (index + 1) * length;
    const key = keys.statistics(unit, index);
    const times = { end, keptUntil: end + kept + SPARE };
    const tallies = { tally: new Tally(), feedback: new FeedbackTally() };
    const span = { key, ...times, ...tallies, changed: false, expires: false };
    this.spans.set(key, span);
    return span;
  }

  private forget(now: number, goes: (span: Span) => boolean): void {
    for (const span of this.spans.values()) {
      if (span !== this.minute && span !== this.hour && goes(span)) this.spans.delete(span.key);
    }
  }
}

/** Whole hours, and the minutes before the first of them as long as there are minutes. */
function spansSince(asked: number, until: number): { since: number; keys: string[] } {
  const { minute, hour } = UNITS;
  if (asked < until - minute.kept) {
    const since = floor(Math.max(asked, until - hour.kept), hour.length);
    return { since, keys: keysOf('hour', since, until) };
  }
  const since = floor(asked, minute.length);
  const firstHour = Math.ceil(since / hour.length) * hour.length;
  const minutes = keysOf('minute', since, Math.min(firstHour - 1, until));
  return { since, keys: [...minutes, ...keysOf('hour', firstHour, until)] };
}

function keysOf(unit: Unit, from: number, to: number): string[] {
  const { length } = UNITS[unit];
  const found: string[] = [];
  for (let at = from; at <= to; at += length) found.push(keys.statistics(unit, Math.floor(at / length)));
  return found;
}

function floor(at: number, length: number): number {
  return Math.floor(at / length) * length;
}

function plus(one: MailCounts, other: MailCounts): MailCounts {
  return {
    queued: one.queued + other.queued,
    sent: one.sent + other.sent,
    failed: one.failed + other.failed,
    deferred: one.deferred + other.deferred,
    cancelled: one.cancelled + other.cancelled,
    suppressed: one.suppressed + other.suppressed,
    expired: one.expired + other.expired,
  };
}
