import type { MailService } from 'nestjs-priority-mail';
import { setTimeout as sleep } from 'node:timers/promises';
import { newsletter } from '../lib/newsletter.js';

/** Recipients of one campaign; the next one is queued as soon as no more than this many wait to be served. */
const CAMPAIGN = 5_000;

export interface BulkCounts {
  queued: number;
  sent: number;
  failed: number;
}

/** Campaign after campaign, so that the worker never runs out of work until it is told to. */
export class BulkLoad {
  readonly #mail: MailService;
  readonly #campaigns = new Map<string, BulkCounts>();
  readonly #completed = new Set<string>();
  #ending = false;
  #running: Promise<void> = Promise.resolve();

  constructor(mail: MailService) {
    this.#mail = mail;
  }

  /** Resolves when the worker is at work. */
  async start(): Promise<void> {
    const { sent } = await this.counts();
    this.#ending = false;
    this.#running = this.#run();
    await Promise.race([this.#running, this.#until((counts) => counts.sent > sent)]);
  }

  /** Resolves when everything queued has been served. */
  async end(): Promise<BulkCounts> {
    this.#ending = true;
    await this.#running;
    return this.counts();
  }

  /** Of all campaigns so far. */
  async counts(): Promise<BulkCounts> {
    for (const id of this.#campaigns.keys()) {
      const report = this.#completed.has(id) ? undefined : await this.#mail.campaign(id);
      if (!report) continue;
      const { total: queued, sent, failed, state } = report;
      this.#campaigns.set(id, { queued, sent, failed });
      if (state === 'completed') this.#completed.add(id);
    }
    const all = [...this.#campaigns.values()];
    const sum = (of: keyof BulkCounts) => all.reduce((total, counts) => total + counts[of], 0);
    return { queued: sum('queued'), sent: sum('sent'), failed: sum('failed') };
  }

  async #run(): Promise<void> {
    while (!this.#ending) {
      const id = `newsletter-${this.#campaigns.size}`;
      this.#campaigns.set(id, { queued: 0, sent: 0, failed: 0 });
      await this.#mail.sendBulk(newsletter({ id, bytes: 2_048, first: 0, count: CAMPAIGN }));
      await this.#until((counts) => this.#ending || pending(counts) <= CAMPAIGN);
    }
    await this.#until((counts) => pending(counts) === 0);
  }

  async #until(holds: (counts: BulkCounts) => boolean): Promise<void> {
    while (!holds(await this.counts())) await sleep(200);
  }
}

export function pending({ queued, sent, failed }: BulkCounts): number {
  return queued - sent - failed;
}
