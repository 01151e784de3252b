import { Meter } from './meter.js';
import { Pace } from './pace.js';

/** How much bulk mail one process gives to a transport at once, and why no more. */
export interface WindowState {
  /** Messages at once. */
  size: number;
  /** It is never more than that. */
  max: number;
  /** Messages under way. */
  inFlight: number;
  /** Messages a second, spread evenly; undefined while it is not held to a pace. */
  rate?: number;
  /** Nothing goes there before this. */
  pausedUntil?: Date;
  /** The server's words that made it smaller. */
  reason?: string;
}

/** Whether a message may begin: at once, within so many milliseconds (Infinity: when another has ended), or after a pause of so many. */
export type Room = { state: 'free' } | { state: 'full' | 'paused'; within: number };

/** A refusal of bulk mail by a transport that takes less than it is given. */
export interface Refusal {
  reply: string;
  replyCode?: number | undefined;
}

/** `paused` and `probing`: so many pauses in a row were followed by a refusal, or have not ended yet. */
type Phase =
  { state: 'open' } | { state: 'paused'; pauses: number; until: number } | { state: 'probing'; pauses: number };

/** Milliseconds. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15 * 60_000;
/** Added to a pause, at most, so that processes do not come back together. */
const JITTER = 0.25;
/** Messages over which an unpaced rate is measured, and a paced one. Milliseconds. */
const SPAN = 1_000;
const PACED_SPAN = 5_000;
/** A pace for which nothing has waited for this long is forgotten, and with it why. Milliseconds. */
const FORGOTTEN_AFTER = 5 * 60_000;
/** Of the size, what a refusal leaves. */
const BACK_TO = 0.5;
/** More connections than the server has once taken are tried after this long, then twice as many more, and so on. Milliseconds. */
const RAISE_EVERY = 30_000;
/** Of the latest answers, the share of refusals that is put up with where the server does not ask to be left alone. */
const TOLERATED = 0.02;
/** Of one answer. With one much larger a few in a thousand come together often enough to bring the pace down for good. */
const WEIGHT = 1 / 256;
/** Of the messages that are answered with nothing being taken, so many in a row are about the transport. */
const UNWANTED = 20;
/** A measured rate that is lower than the pace by less is the same. */
const NOISE = 1.1;
/** One cycle of refusals does not bring the pace down by more. */
const STEEPEST = 4;

/** 421 ends the connection, 454 is a throttling SES. */
const LEAVE_ALONE = new Set([421, 454]);
const TOO_MANY_AT_ONCE =
  /\btoo many (\S+ ){0,2}(connections|sessions|clients)\b|\bconcurrent|\bsimultaneous|\bparallel|\bmaximum (\S+ ){0,3}connections\b|\b(connection|session)s? (limit|count)\b/i;

const FREE: Room = { state: 'free' };
const FULL: Room = { state: 'full', within: Infinity };

/**
 * The congestion window of one transport: bulk messages at once, and a second.
 *
 * It is as large as it can be until the server refuses. A refusal halves the messages at once and holds them to a pace
 * somewhat below the rate that was accepted, or, where the server counts connections, to as many as it took. 421 and 454
 * are followed by a pause, and that by a single message which tells whether to go on. The refusals of messages that were
 * under way together count as one. Acceptances let it grow again.
 *
 * All times are milliseconds of `performance.now()`, unless a type says otherwise.
 */
export class CongestionWindow {
  private size: number;
  private inFlight = 0;
  /** So many at once the server has taken; beyond that the window grows seldom. */
  private limit: number;
  private limitedAt = 0;
  private raise = 1;
  private phase: Phase = { state: 'open' };
  private pace: Pace | undefined;
  private readonly meter = new Meter();
  /** Counts the refusals that changed something. */
  private bursts = 0;
  /** The last burst was about connections. */
  private countsConnections = false;
  private refusedShare = 0;
  private unwantedInARow = 0;
  /** When the last series of pauses began, how many they were, and what was accepted since. */
  private series = { at: -Infinity, pauses: 0, accepted: 0 };
  private reason: string | undefined;

  /** @param max messages at once */
  constructor(
    readonly max: number,
    private readonly now: () => number = () => performance.now(),
    private readonly random: () => number = Math.random,
  ) {
    this.size = this.limit = max;
  }

  get state(): WindowState {
    const { phase, pace, reason, max, inFlight } = this;
    const paused = phase.state === 'paused' ? phase.until - this.now() : 0;
    return {
      size: this.places,
      max,
      inFlight,
      ...(pace ? { rate: Math.round(pace.rate * 10) / 10 } : {}),
      ...(paused > 0 ? { pausedUntil: new Date(Date.now() + paused) } : {}),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  /** Share of it that is in use. */
  get use(): number {
    return this.inFlight / this.places;
  }

  /** To be asked when a message is to begin: what waits for the pace lets that grow. */
  room(): Room {
    const { phase, pace } = this;
    if (phase.state === 'open' && !pace) return this.inFlight < this.places ? FREE : FULL;
    const now = this.now();
    if (phase.state === 'paused') {
      if (now < phase.until) return { state: 'paused', within: phase.until - now };
      this.phase = { state: 'probing', pauses: phase.pauses };
    }
    if (this.inFlight >= this.places) return FULL;
    if (!pace) return FREE;
    if (pace.idle(now) > FORGOTTEN_AFTER) {
      this.pace = undefined;
      this.settle();
      return FREE;
    }
    const within = pace.wait(now);
    return within > 0 ? { state: 'full', within } : FREE;
  }

  /** A message takes a place, for which {@link room} was free. */
  enter(): void {
    this.inFlight++;
    this.pace?.take(this.now());
  }

  /** Its place is free again. */
  leave(): void {
    this.inFlight--;
  }

  /** To be kept by a message that begins, and told with its answer. */
  get burst(): number {
    return this.bursts;
  }

  accepted(burst: number): void {
    const now = this.now();
    const { pace } = this;
    this.meter.add(now, pace ? PACED_SPAN : SPAN);
    this.series.accepted++;
    this.refusedShare *= 1 - WEIGHT;
    this.unwantedInARow = 0;
    if (burst !== this.bursts) return;
    if (this.phase.state !== 'open') this.resume(now);
    pace?.grow(now);
    if (this.size < this.max) this.grow(now);
  }

  /** It was answered, though not taken, for reasons of its own: the server works. */
  answered(burst: number): void {
    if (burst === this.bursts && this.phase.state !== 'open') this.resume(this.now());
  }

  /**
   * It answered a message that it takes nothing. That may be about the message's sender alone, so that only many in a row
   * make a pause, which never gets longer: others have mail for it, too.
   */
  unwanted(burst: number, reply: string): void {
    this.unwantedInARow++;
    if (burst !== this.bursts || this.unwantedInARow < UNWANTED) return;
    this.bursts++;
    this.reason = reply;
    this.pause(this.now(), 1);
  }

  refused(burst: number, refusal: Refusal): void {
    this.refusedShare += WEIGHT * (1 - this.refusedShare);
    if (burst !== this.bursts) {
      if (this.countsConnections) this.limitTo(this.limit - 1);
      this.pace?.confirm();
      return;
    }
    const { phase } = this;
    const leaveAlone = refusal.replyCode === undefined || LEAVE_ALONE.has(refusal.replyCode);
    // It may be this one message's trouble.
    if (!leaveAlone && phase.state === 'open' && this.refusedShare < TOLERATED) return;
    const now = this.now();
    this.bursts++;
    this.reason = refusal.reply;
    if (phase.state !== 'open') this.pause(now, phase.pauses + 1);
    else {
      this.cut(now, refusal.reply);
      if (leaveAlone) this.pause(now, 1);
      else this.phase = { state: 'probing', pauses: 0 };
    }
  }

  private get places(): number {
    return this.phase.state === 'open' ? Math.floor(this.size) : 1;
  }

  private pause(now: number, pauses: number): void {
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(pauses - 1, 30));
    this.phase = { state: 'paused', pauses, until: now + pause * (1 + JITTER * this.random()) };
    this.series.pauses = pauses;
  }

  /** The first refusal since something was accepted. */
  private cut(now: number, reply: string): void {
    const atOnce = Math.max(1, this.inFlight);
    this.size = Math.max(1, Math.floor(Math.min(this.size, atOnce) * BACK_TO));
    this.countsConnections = atOnce > 1 && TOO_MANY_AT_ONCE.test(reply);
    if (this.countsConnections) this.limitTo(atOnce - 1);
    else this.slowDown(now);
    this.series = { at: now, pauses: 0, accepted: 0 };
  }

  private slowDown(now: number): void {
    const { meter, pace, series } = this;
    const measured = meter.running(now) >= SPAN;
    let ceiling = meter.perSecond(now);
    // Right after a pause there is nothing measured, and it was too much already.
    if (pace) ceiling = measured ? Math.min(pace.rate, NOISE * ceiling) : pace.rate / NOISE;
    // A pause that was too short tells of a limit over a longer time: what counts is what went through in all of that.
    if (series.pauses > 1) {
      const throughout = (series.accepted * 1_000) / (now - series.at);
      ceiling = Math.max(ceiling / STEEPEST, Math.min(ceiling, throughout));
    }
    if (pace) pace.cut(ceiling, measured);
    // With nothing accepted there is no telling.
    else if (ceiling >= 1) this.pace = new Pace(ceiling, now, measured);
  }

  private limitTo(messages: number): void {
    this.limit = Math.max(1, messages);
    this.limitedAt = this.now();
    this.raise = 1;
    this.size = Math.min(this.size, this.limit);
  }

  /** The message that was to tell has been taken. */
  private resume(now: number): void {
    this.phase = { state: 'open' };
    this.meter.restart(now);
    this.pace?.resumeAt(now);
  }

  private grow(now: number): void {
    if (this.limit < this.max && now - this.limitedAt > RAISE_EVERY && this.size >= this.limit) {
      this.limit = Math.min(this.max, this.limit + this.raise);
      this.raise *= 2;
      this.limitedAt = now;
    }
    this.size = Math.min(this.limit, this.size + 1 / this.size);
    this.settle();
  }

  /** Nothing holds it any more. */
  private settle(): void {
    if (this.size >= this.max && !this.pace) this.reason = undefined;
  }
}
