import type { JobState } from 'bullmq';
import { LedgerView } from '../delivery/ledger.js';
import { isOwnId, splitMessageId } from '../message/ids.js';
import type { Fields, Records } from '../store/records.js';
import type { Sealer } from '../store/sealing.js';
import type { Backend, MailJobQueue } from './backend.js';
import type { Batch } from './batch.js';
import { waitingError, type BatchFormat, type WaitingBatch } from './batch-format.js';
import { batchIds, queuedRecipients, readRecord, type CampaignRecord } from './campaign-record.js';
import { boundBy, type BoundBy } from './bottleneck.js';
import { readCounts, readReports, type FeedbackCounts } from './feedback/reports.js';
import { keys } from './keys.js';
import { readPresence, type WorkersReport } from './presence.js';
import { readProgress } from './progress.js';
import { readPriorityStatus } from './priority-record.js';
import { isPending, statusOf, type MailStatus, type Waiting } from './status.js';
import { readFacts } from './store-ledger.js';

/** A batch with what is known of it. */
export interface KnownBatch {
  batch: Batch;
  /** The blob that its content lies in, where that is not its job. */
  payload?: string;
  view: LedgerView;
  /** Of its job. */
  state: JobState | 'unknown';
  /** What its message at this place is doing if nothing is recorded about it. */
  waiting: (index: number) => Waiting;
}

/** How a campaign is doing. Numbers are recipients. */
export interface CampaignReport {
  id: string;
  name?: string;
  state: 'queueing' | 'running' | 'paused' | 'suspended' | 'completed' | 'cancelled' | 'incomplete';
  /** Accepted into the queue so far; all of the campaign unless it is `queueing` or `incomplete`. */
  total: number;
  /** Not tried yet. */
  queued: number;
  sent: number;
  failed: number;
  /** Tried, and to be tried again. */
  deferred: number;
  cancelled: number;
  /** Of the cancelled: those that the suppression list stopped. */
  suppressed: number;
  expired: number;
  startedAt: Date;
  /** When anything was last heard of it: of its queueing, or of a message. */
  seenAt: Date;
  finishedAt?: Date;
  /** What its delivery waited for most of the time so far, over all processes. Undefined until its first batch has ended. */
  boundBy?: BoundBy;
  /** What went wrong last with a message, a transport or the queueing. */
  lastError?: string;
  /** What was reported of its mail; each recipient once of a type. Undefined until something was. */
  feedback?: FeedbackCounts;
  /** When and where it stopped, while it is `suspended`. */
  suspended?: {
    at: Date;
    /** What each transport said, or why it was not asked. */
    error: string;
    /** The id of the message it stopped at. */
    place: string;
    /** Recipients still to be served. */
    remaining: number;
  };
}

/** The batches in the queue by what they are doing, and how long the oldest has been waiting. */
export interface QueueReport {
  /** The whole queue is paused. */
  paused: boolean;
  batches: {
    waiting: number;
    /** Scheduled, or waiting for their next attempt. */
    delayed: number;
    active: number;
    finished: number;
    /** Could not be read by a worker, and lie aside with the reason. */
    setAside: number;
  };
  /**
   * Since when the oldest of the waiting batches has been waiting, as far as the first and last 20 in line tell: as it was
   * queued, fell due by its `sendAt`, or was taken up last.
   */
  oldestWaiting?: Date;
}

/** A producer that has not been heard of for longer has died. */
const PRODUCER_SILENCE = 30_000;
const READ_AHEAD = 20;

/** Of a queue that holds nothing. */
export const EMPTY_QUEUE: QueueReport = {
  paused: false,
  batches: { waiting: 0, delayed: 0, active: 0, finished: 0, setAside: 0 },
};

/** Answers what became of messages. Reads only. */
export class Reader {
  private readonly queue: MailJobQueue;

  constructor(
    private readonly backend: Pick<Backend, 'queue' | 'oldestWaiting'>,
    private readonly records: Records,
    private readonly format: BatchFormat,
    private readonly sealer: Sealer,
  ) {
    this.queue = backend.queue;
  }

  async status(id: string): Promise<MailStatus | undefined> {
    const place = splitMessageId(id);
    if (!place) return undefined;
    const [status, [reports]] = await Promise.all([
      this.deliveryStatus(id, place),
      this.records.get([keys.reports(place.batch)]),
    ]);
    return status && reports ? withReports(status, reports, this.sealer) : status;
  }

  private async deliveryStatus(id: string, place: { batch: string; index: number }): Promise<MailStatus | undefined> {
    const known = await this.batch(place.batch);
    const there = known !== undefined && place.index < known.batch.items.length;
    const queued = there ? statusOf(known.batch, place.index, known.view, known.waiting(place.index)) : undefined;
    if (!isOwnId(id) || (queued && isPending(queued.state))) return queued;
    // Nothing was delivered of it: it was cancelled while it waited.
    if (queued && known?.view.lastAt === 0) return queued;
    // Sent by the priority lane: in a batch only if it came over to the queue, or if its key was used before.
    const [fields] = await this.records.get([keys.mail(id)]);
    const later = fields && Number(fields['at']) > (known?.view.lastAt ?? 0);
    return later ? readPriorityStatus(id, fields, this.sealer) : queued;
  }

  async campaign(id: string): Promise<CampaignReport | undefined> {
    return (await this.progressOf(id))?.report;
  }

  /** The report, and how often something of it that had failed was to be tried anew. */
  async progressOf(id: string): Promise<{ report: CampaignReport; reopenings: number } | undefined> {
    const wanted = [keys.campaign(id), keys.progress(id), keys.bound(id), keys.reported(id)];
    const [fields, progress, bound, reported] = await this.records.get(wanted);
    if (!fields) return undefined;
    const record = readRecord(fields);
    const { sent, failed, deferred, expired, cancelled, suppressed, at, reopenings } = readProgress(progress);
    const settled = sent + failed + expired + cancelled;
    const total = queuedRecipients(record);
    const open = total - settled;
    const state = stateOf(record, open);
    const stopped = record.cancelled ? open : 0;
    const limit = boundBy(bound);
    const feedback = readCounts(reported);
    const report: CampaignReport = {
      id,
      state,
      total,
      queued: Math.max(0, open - deferred - stopped),
      sent,
      failed,
      deferred: record.cancelled ? 0 : deferred,
      cancelled: cancelled + stopped,
      suppressed,
      expired,
      startedAt: new Date(record.startedAt),
      seenAt: new Date(Math.max(record.seenAt, at)),
      ...(record.name === undefined ? {} : { name: record.name }),
      ...(open <= 0 && record.complete ? { finishedAt: new Date(at || record.startedAt) } : {}),
      ...(limit === undefined ? {} : { boundBy: limit }),
      ...(feedback ? { feedback } : {}),
      ...(record.lastError === undefined ? {} : { lastError: record.lastError }),
      ...(state === 'suspended' && record.suspended
        ? { suspended: { ...record.suspended, at: new Date(record.suspended.at), remaining: open } }
        : {}),
    };
    return { report, reopenings };
  }

  /** The messages of a campaign in the order in which they were queued. Those past retention are left out. */
  async *recipients(campaignId: string): AsyncIterable<MailStatus> {
    for await (const { batch, view, waiting } of this.batches(campaignId)) {
      for (let index = 0; index < batch.items.length; index++) yield statusOf(batch, index, view, waiting(index));
    }
  }

  /** The messages of a campaign that failed, with the server's words. */
  async *failures(campaignId: string): AsyncIterable<MailStatus> {
    for await (const status of this.recipients(campaignId)) if (status.state === 'failed') yield status;
  }

  /** The messages of a campaign that are still to be served. */
  async *remaining(campaignId: string): AsyncIterable<MailStatus> {
    for await (const status of this.recipients(campaignId)) if (isPending(status.state)) yield status;
  }

  async report(): Promise<QueueReport> {
    const [counts, ahead, paused, oldest] = await Promise.all([
      this.queue.getJobCounts('prioritized', 'delayed', 'active', 'completed', 'failed'),
      // Those without a priority. A paused queue on PostgreSQL counts none of them as waiting.
      this.queue.getCountsPerPriority([0]),
      this.queue.isPaused(),
      this.backend.oldestWaiting(),
    ]);
    const { prioritized = 0, delayed = 0, active = 0, completed = 0, failed = 0 } = counts;
    const waiting = (ahead['0'] ?? 0) + prioritized;
    return {
      paused,
      batches: { waiting, delayed, active, finished: completed, setAside: failed },
      ...(oldest === undefined ? {} : { oldestWaiting: new Date(oldest) }),
    };
  }

  /** The workers of all processes. */
  workers(): Promise<WorkersReport> {
    return readPresence(this.records);
  }

  /**
   * The batches of a campaign, in order. Those past retention are left out.
   *
   * @throws MailError for one whose key or content is not here: who is in it cannot be told
   */
  async *batches(campaignId: string): AsyncIterable<KnownBatch> {
    const [fields] = await this.records.get([keys.campaign(campaignId)]);
    if (!fields) return;
    const ids = [...batchIds(readRecord(fields))];
    for (let from = 0; from < ids.length; from += READ_AHEAD) {
      const some = ids.slice(from, from + READ_AHEAD);
      const known = await Promise.all(some.map((id) => this.load(id)));
      for (const [index, one] of known.entries()) {
        if (one && 'head' in one) throw waitingError(one, `Batch ${some[index]}`);
        if (one) yield one;
      }
    }
  }

  async batch(id: string): Promise<KnownBatch | undefined> {
    const known = await this.load(id);
    return known && 'batch' in known ? known : undefined;
  }

  private async load(id: string): Promise<KnownBatch | WaitingBatch | undefined> {
    const job = await this.queue.getJob(id);
    const read = job ? await this.format.read(job.data) : undefined;
    if (!job || !read || 'problem' in read) return undefined;
    if ('head' in read) return read;
    const { batch, payload } = read;
    const wanted = [keys.ledger(id), keys.marks(id), ...(batch.campaign ? [keys.campaign(batch.campaign.id)] : [])];
    // In this order: a batch that ends in between is then seen with its facts, and not as waiting without them.
    const state = await job.getState();
    const [facts, marks, campaign] = await this.records.get(wanted);
    const record = campaign && readRecord(campaign);
    const scheduled = batch.sendAt !== undefined && batch.sendAt > Date.now();
    const waiting = (index: number): Waiting => {
      if (record?.cancelled) return 'cancelled';
      if (state === 'active') return 'sending';
      if (marks?.[index] !== undefined) return 'cancelled';
      if (record?.suspended) return 'suspended';
      return scheduled ? 'scheduled' : 'queued';
    };
    const known = { batch, view: new LedgerView(readFacts(facts)), state, waiting };
    return payload === undefined ? known : { ...known, payload };
  }
}

function withReports(status: MailStatus, reports: Fields, sealer: Sealer): MailStatus {
  const reportsOf = readReports(status.id, reports, sealer);
  const recipients = status.recipients.map((recipient) => {
    const feedback = reportsOf(recipient.address);
    return feedback ? { ...recipient, feedback } : recipient;
  });
  return { ...status, recipients };
}

function stateOf(record: CampaignRecord, open: number): CampaignReport['state'] {
  if (record.cancelled) return 'cancelled';
  if (record.suspended && open > 0) return 'suspended';
  if (!record.complete) {
    return record.failed || Date.now() - record.seenAt > PRODUCER_SILENCE ? 'incomplete' : 'queueing';
  }
  if (open <= 0) return 'completed';
  return record.paused ? 'paused' : 'running';
}
