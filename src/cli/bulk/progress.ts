import type { TransportHealth } from '../../nest/mail-health.js';
import type { CampaignReport } from '../../queue/reader.js';
import { count } from '../text.js';

/** How fast a campaign is, from what was told of it in the last seconds. */
export class Pace {
  private readonly seen: { at: number; served: number }[] = [];

  /** @param at milliseconds */
  add(report: CampaignReport, at: number): void {
    this.seen.push({ at, served: report.total - openOf(report) });
    while (this.seen.length > 2 && this.seen[1]!.at < at - WINDOW) this.seen.shift();
  }

  /** Recipients a second. */
  get rate(): number {
    const [first, last] = [this.seen[0], this.seen.at(-1)];
    if (!first || !last || last.at <= first.at) return 0;
    return Math.max(0, ((last.served - first.served) * 1_000) / (last.at - first.at));
  }

  /** Since when nothing has changed; milliseconds. */
  get stillFor(): number {
    const last = this.seen.at(-1);
    const since = this.seen.find(({ served }) => served === last?.served);
    return last && since ? last.at - since.at : 0;
  }
}

/** Milliseconds. */
const WINDOW = 10_000;
/** With nothing served for so long, what it waits for is worth a word. Milliseconds. */
export const STILL = 2_000;
const BAR = 20;

/** Who is still to be served. */
export function openOf({ queued, deferred }: CampaignReport): number {
  return queued + deferred;
}

/** Where a campaign stands, in a line. */
export function progressLine(report: CampaignReport, pace: Pace, transports: readonly TransportHealth[]): string {
  const { total, sent, failed, suppressed } = report;
  const open = openOf(report);
  const share = total === 0 ? 1 : (total - open) / total;
  const bar = '#'.repeat(Math.floor(share * BAR)).padEnd(BAR, '.');
  const parts = [
    `[${bar}] ${Math.floor(share * 100)} %: ${count(sent)} sent`,
    `${count(failed)} failed`,
    ...(suppressed > 0 ? [`${count(suppressed)} suppressed`] : []),
    `${count(open)} remaining`,
  ];
  if (pace.rate > 0) parts.push(`${count(Math.max(1, Math.round(pace.rate)))}/s`);
  if (pace.rate > 0 && open > 0) parts.push(`${span(open / pace.rate)} left`);
  const reason = reasonFor(report, pace, transports);
  if (reason !== undefined) parts.push(reason);
  return parts.join(', ');
}

/** What keeps a campaign from going on, or makes it slow on purpose. Undefined: nothing that is known. */
export function reasonFor(
  report: CampaignReport,
  pace: Pace,
  transports: readonly TransportHealth[],
): string | undefined {
  const open = openOf(report);
  const bulk = transports.filter(({ rank }) => rank.bulk !== undefined);
  if (open === 0) return undefined;
  if (bulk.every(({ circuit }) => circuit !== 'closed')) {
    return bulk.map(({ name, lastError }) => `${name} is down${lastError ? ` (${lastError.error})` : ''}`).join(', ');
  }
  const throttled = bulk.find(({ window }) => window?.reason !== undefined);
  if (throttled) return `${throttled.name} takes no more (${throttled.window!.reason})`;
  if (pace.stillFor < STILL) return report.boundBy === 'rate limit' ? 'held to the rate limit' : undefined;
  if (report.deferred >= open) {
    return `waits for the next attempt${report.lastError === undefined ? '' : ` (${report.lastError})`}`;
  }
  return report.boundBy === undefined ? undefined : `waits for the ${report.boundBy}`;
}

/** A length of time, roughly. */
function span(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3_600) return `${Math.ceil(seconds / 60)} min`;
  const minutes = Math.ceil(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
