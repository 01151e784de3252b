import { setTimeout as sleep } from 'node:timers/promises';
import { MailError, reasonOf } from '../../errors.js';
import type { BulkMailInput } from '../../message/message.js';
import type { CampaignReceipt } from '../../queue/queueing.js';
import type { CampaignReport } from '../../queue/reader.js';
import type { Mailer } from '../mailer.js';
import type { Output } from '../output.js';
import { count } from '../text.js';
import { LONGEST } from '../commands/worker.js';
import { Pace, progressLine, STILL } from './progress.js';

/** A look at the campaign takes some share of the time. Milliseconds. */
const LOOK_EVERY = { least: 100, most: 1_000, times: 20 };
/** Between lines where no line can be replaced. Milliseconds. */
const LINE_EVERY = 10_000;
/** Longer than a process that died holds the right to queue a campaign. Milliseconds. */
const PATIENCE = 40_000;
const ASK_AGAIN = 1_000;
/** States in which nothing is delivered. */
const STANDSTILL: ReadonlySet<CampaignReport['state']> = new Set(['completed', 'cancelled', 'suspended', 'paused']);

/** A campaign that can be queued in several tries. */
export interface QueuedCampaign extends BulkMailInput {
  id: string;
  signal: AbortSignal;
}

/** Queues one campaign and delivers it in this process. */
export class CampaignRun {
  private readonly pace = new Pace();
  private lastLine = -Infinity;

  constructor(
    private readonly mailer: Mailer,
    private readonly output: Output,
    private readonly interrupted: AbortSignal,
  ) {}

  /**
   * Queues those who are not queued yet. Where it lost the right to do so, it begins anew: the recipients are read once more.
   *
   * @param expected how many recipients there are, for the progress
   * @throws what `sendBulk()` throws; `ABORTED` when its signal aborts
   */
  async queue(bulk: QueuedCampaign, expected: number): Promise<CampaignReceipt> {
    const { mail } = this.mailer;
    const { signal } = bulk;
    const onProgress = ({ queued }: { queued: number }): void =>
      this.show(`${count(queued)} of ${count(expected)} recipients are queued`);
    let giveUpAt = performance.now() + PATIENCE;
    for (let isTold = false; ; isTold = true) {
      try {
        return await mail.sendBulk({ ...bulk, onProgress });
      } catch (error) {
        const code = error instanceof MailError ? error.code : undefined;
        if (code === 'CAMPAIGN_LOST') giveUpAt = performance.now() + PATIENCE;
        else if (code !== 'CAMPAIGN_BUSY') throw error;
        if (performance.now() > giveUpAt || signal.aborted) throw error;
        if (!isTold) this.output.tell(`${reasonOf(error)} Waiting for that.`);
        await sleep(ASK_AGAIN, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * Delivers what is due in the queue until nothing more happens to the campaign: all of it is served, somebody holds it, or
   * the time is over.
   *
   * @param maxTime milliseconds
   * @throws MailQueueUnavailableError
   */
  async deliver(id: string, maxTime?: number): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.interrupted]);
    const working = this.mailer.worker.runUntil({ deadline: maxTime ?? LONGEST, empty: false, signal });
    try {
      await Promise.race([working, this.watch(id, signal)]);
    } finally {
      over.abort();
      this.output.show('');
    }
    await working;
  }

  private async watch(id: string, signal: AbortSignal): Promise<void> {
    const { mail } = this.mailer;
    while (!signal.aborted) {
      const startedAt = performance.now();
      // The worker tells of a store that is away.
      const report = await mail.campaign(id).catch(() => undefined);
      if (report) this.tell(report);
      if (report && (STANDSTILL.has(report.state) || (await this.isHeld()))) return;
      const pause = (performance.now() - startedAt) * LOOK_EVERY.times;
      const wait = Math.min(LOOK_EVERY.most, Math.max(LOOK_EVERY.least, pause));
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Somebody has paused the whole queue. Asked where nothing goes on. */
  private async isHeld(): Promise<boolean> {
    if (this.pace.stillFor < STILL) return false;
    const queue = await this.mailer.mail.queue().catch(() => undefined);
    return queue?.paused === true;
  }

  private tell(report: CampaignReport): void {
    this.pace.add(report, performance.now());
    this.show(progressLine(report, this.pace, this.mailer.health.transports()));
  }

  /** In a terminal at once, elsewhere now and then. */
  private show(line: string): void {
    const { output } = this;
    if (output.columns !== undefined) return output.show(line);
    if (output.json || performance.now() < this.lastLine + LINE_EVERY) return;
    this.lastLine = performance.now();
    output.tell(line);
  }
}
