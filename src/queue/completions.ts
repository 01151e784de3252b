import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Audience } from '../events/emitter.js';
import type { Records } from '../store/records.js';
import type { Told } from './batch-events.js';
import { keys } from './keys.js';
import type { CampaignReport, Reader } from './reader.js';

/** Between two looks at a campaign, at least; and so many times what a look takes, for those of many thousand batches. */
const LOOK_EVERY = 1_000;
const LOOK_SHARE = 50;
/** Campaigns that were not complete are looked at again so often, in case whoever delivers the last of it dies with it. */
const LOOK_AGAIN_EVERY = 60_000;
const LOOKED_AT_AGAIN = 100;
/** Longer than anybody looks at a campaign. */
const KEPT_FOR = 90 * 24 * 3_600_000;

/** Each audience is told once, so that one that only counts takes the event from nobody who waits for it elsewhere. */
const MARKS = { listeners: keys.completion, observers: keys.completionSeen } as const;
const AUDIENCES = ['listeners', 'observers'] as const;

/** Finds out that a campaign is complete, and tells it once, whichever process delivers the last of it. */
export class Completions {
  /** Campaigns that were looked at a moment ago, and whether something has happened to them since. */
  private readonly watched = new Map<string, { again: boolean; watching: Promise<void> }>();
  /** Those that this process had a part in, and that were not complete when it looked. */
  private readonly open = new Set<string>();
  private readonly timer: NodeJS.Timeout;
  private readonly over = new AbortController();
  /** Ends the pauses between looks. */
  private haste = new AbortController();

  constructor(
    private readonly records: Pick<Records, 'putIfAbsent'>,
    private readonly reader: Pick<Reader, 'progressOf'>,
    private readonly events: Told,
    private readonly onError: (error: Error) => void,
  ) {
    // Each campaign under way waits for it.
    setMaxListeners(0, this.over.signal);
    this.timer = setInterval(() => [...this.open].forEach((id) => this.settled(id)), LOOK_AGAIN_EVERY);
    this.timer.unref();
  }

  /** A batch of it is done, or all of its batches are queued: it may be complete. Returns at once. */
  settled(campaignId: string): void {
    if (this.over.signal.aborted || !this.events.wants('campaign-completed')) return;
    const known = this.watched.get(campaignId);
    if (known) known.again = true;
    else this.watched.set(campaignId, { again: true, watching: this.watch(campaignId) });
  }

  /** Looks at once at all campaigns that may be complete, and resolves when those that are have been told. */
  async lookNow(): Promise<void> {
    for (const id of this.open) this.settled(id);
    this.haste.abort();
    await this.looks();
    this.haste = new AbortController();
  }

  /** Waits for no further look; those that are due are taken now. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.over.abort();
    await this.looks();
  }

  private async looks(): Promise<void> {
    await Promise.all([...this.watched.values()].map(({ watching }) => watching));
  }

  private async watch(campaignId: string): Promise<void> {
    // So that it stands in the map.
    await Promise.resolve();
    const watch = this.watched.get(campaignId)!;
    while (watch.again) {
      watch.again = false;
      const startedAt = performance.now();
      await this.look(campaignId).catch(this.onError);
      const took = performance.now() - startedAt;
      const signal = AbortSignal.any([this.over.signal, this.haste.signal]);
      const pause = sleep(Math.max(LOOK_EVERY, LOOK_SHARE * took), undefined, { ref: false, signal });
      await pause.catch(() => undefined);
    }
    this.watched.delete(campaignId);
  }

  /** Tells that it is complete, if it is and nobody has told it. */
  private async look(campaignId: string): Promise<void> {
    const known = await this.reader.progressOf(campaignId);
    this.note(campaignId, known?.report.state);
    if (known?.report.state !== 'completed') return;
    const now = Date.now();
    for (const audience of AUDIENCES) {
      if (!this.events.wants('campaign-completed', audience)) continue;
      const mark = MARKS[audience](campaignId, known.reopenings);
      if (await this.records.putIfAbsent(mark, { at: String(now) }, now + KEPT_FOR)) this.tell(known.report, audience);
    }
  }

  private note(campaignId: string, state: CampaignReport['state'] | undefined): void {
    if (state === undefined || state === 'completed' || state === 'cancelled') this.open.delete(campaignId);
    else if (this.open.size < LOOKED_AT_AGAIN) this.open.add(campaignId);
  }

  private tell(report: CampaignReport, audience: Audience): void {
    const { id, name, total, sent, failed, cancelled, suppressed, expired, startedAt, finishedAt, boundBy } = report;
    const event = {
      campaignId: id,
      ...(name === undefined ? {} : { name }),
      total,
      sent,
      failed,
      cancelled,
      suppressed,
      expired,
      startedAt,
      finishedAt: finishedAt ?? new Date(),
      ...(boundBy === undefined ? {} : { boundBy }),
    };
    this.events.emit('campaign-completed', event, audience);
  }
}
