import { MailError, MailQueueUnavailableError, MailValidationError, reasonOf } from '../errors.js';
import { batchId, newId } from '../message/ids.js';
import type { BulkMailInput } from '../message/message.js';
import type { ParsedBulk } from '../message/parse.js';
import { recipientKey } from '../message/recipient.js';
import type { Records } from '../store/records.js';
import type { Backend } from './backend.js';
import { readBatch } from './batch.js';
import type { Blobs } from './blobs.js';
import { fingerprintOf, newRecord, readRecord, writeRecord, type CampaignRecord } from './campaign-record.js';
import type { Flusher } from './flush.js';
import { KeySet } from './key-set.js';
import { keys } from './keys.js';
import { Packer } from './packer.js';
import { Queueing, type CampaignOptions, type CampaignReceipt } from './queueing.js';

/** The claim of the process that queues a campaign runs out unless it is renewed. */
const CLAIM_FOR = 30_000;
const RENEW_EVERY = 10_000;
/** Batches whose recipients are read together when a campaign is continued. */
const READ_AHEAD = 50;

/** Queues campaigns: reads the source no faster than the queue takes it, and holds a few batches in memory. */
export class CampaignProducer {
  constructor(
    private readonly flusher: Flusher,
    private readonly backend: Backend,
    private readonly records: Records,
    private readonly blobs: Blobs,
    private readonly options: CampaignOptions,
  ) {}

  /**
   * @throws MailQueueUnavailableError, or MailError when the source fails or the signal aborts; what is queued stays, and
   *   both carry `campaignId` and `queued`
   */
  async send(
    bulk: ParsedBulk,
    input: Pick<BulkMailInput, 'recipients' | 'signal' | 'onProgress'>,
  ): Promise<CampaignReceipt> {
    const id = bulk.id ?? newId('c');
    await this.flusher.reach();
    const claim = await this.claim(id);
    try {
      const record = await this.open(id, bulk);
      if (record.complete) return { id, queued: 0, duplicates: record.queued, rejected: 0, rejections: [] };
      const seen = record.fresh ? new KeySet() : await this.alreadyQueued(record);
      const run = new Queueing(record, seen, this.options, input.onProgress, (chunk) => this.flusher.flush(chunk));
      await this.fill(run, bulk, input);
      return run.receipt();
    } finally {
      await claim.release();
    }
  }

  private async fill(
    run: Queueing,
    bulk: ParsedBulk,
    input: Pick<BulkMailInput, 'recipients' | 'signal'>,
  ): Promise<void> {
    const { id } = run.record;
    try {
      const attachments = await this.blobs.put(bulk.attachments, bulk.sendAt);
      run.packer = new Packer(id, bulk, attachments, this.options, run.record.batches);
      await run.readAll(input.recipients, bulk, input.signal, async (progress) => {
        await this.save(id, progress);
        await this.refuseIfCancelled(id);
      });
      await this.save(id, { ...run.durable(), complete: true, failed: false });
    } catch (error) {
      const durable = await run.settled();
      await this.save(id, { ...durable, failed: true, lastError: reasonOf(error) }).catch(() => undefined);
      throw interrupted(error, id, durable.queued, input.signal);
    }
  }

  private save(id: string, fields: Partial<CampaignRecord>): Promise<void> {
    return this.records.merge([{ key: keys.campaign(id), fields: writeRecord({ ...fields, seenAt: Date.now() }) }]);
  }

  private async refuseIfCancelled(id: string): Promise<void> {
    const [fields] = await this.records.get([keys.campaign(id)]);
    if (fields && readRecord(fields).cancelled) throw new Error('it was cancelled');
  }

  /** Creates the campaign's record, or takes up the one that is there. */
  private async open(id: string, bulk: ParsedBulk): Promise<CampaignRecord & { fresh: boolean }> {
    const fresh = newRecord(id, bulk, Date.now());
    if (await this.records.putIfAbsent(keys.campaign(id), writeRecord(fresh))) return { ...fresh, fresh: true };
    const [fields] = await this.records.get([keys.campaign(id)]);
    const record = readRecord(fields ?? {});
    if (record.fingerprint !== fingerprintOf(bulk)) {
      const message = `${JSON.stringify(id)} belongs to a campaign with another message; give this one an id of its own`;
      throw new MailValidationError([{ path: 'id', message }], 'campaign');
    }
    if (record.cancelled) {
      throw new MailValidationError([{ path: 'id', message: `${JSON.stringify(id)} was cancelled` }], 'campaign');
    }
    await this.save(id, { failed: false });
    return { ...record, fresh: false };
  }

  /** The recipients of a campaign that is continued, read back from its batches. */
  private async alreadyQueued(record: CampaignRecord): Promise<KeySet> {
    const seen = new KeySet();
    record.queued = 0;
    let known = record.batches;
    for (let from = 0; ; from += READ_AHEAD) {
      const numbers = Array.from({ length: READ_AHEAD }, (_, index) => from + index);
      const jobs = await Promise.all(numbers.map((number) => this.backend.queue.getJob(batchId(record.id, number))));
      for (const [index, job] of jobs.entries()) {
        const read = job ? readBatch(job.data) : undefined;
        if (!read || 'problem' in read) continue;
        // A batch may be in the queue whose number was not written down any more.
        known = Math.max(known, numbers[index]! + 1);
        for (const { to, key } of read.batch.items) {
          seen.add(recipientKey({ to: to[0]!, ...(key === undefined ? {} : { idempotencyKey: key }) }));
        }
        record.queued += read.batch.items.length;
      }
      if (from + READ_AHEAD > known && jobs.at(-1) === undefined) break;
    }
    record.batches = known;
    return seen;
  }

  /** One process at a time queues a campaign: two would number their batches alike. */
  private async claim(id: string): Promise<{ release(): Promise<void> }> {
    const key = keys.producer(id);
    if (!(await this.records.putIfAbsent(key, { pid: String(process.pid) }, Date.now() + CLAIM_FOR))) {
      throw new MailError(
        `The campaign ${id} is being queued by another call or process. Wait for it to end; after a crash, for ${CLAIM_FOR / 1000} s.`,
        { permanent: false, code: 'CAMPAIGN_BUSY', campaignId: id },
      );
    }
    const renewal = setInterval(() => {
      const renewed = this.records.expire([key], Date.now() + CLAIM_FOR);
      Promise.all([renewed, this.save(id, {})]).catch(() => undefined);
    }, RENEW_EVERY);
    renewal.unref();
    return {
      release: async () => {
        clearInterval(renewal);
        await this.records.delete([key]).catch(() => undefined);
      },
    };
  }
}

function interrupted(error: unknown, campaignId: string, queued: number, signal: AbortSignal | undefined): MailError {
  const details = { campaignId, queued, cause: error };
  if (error instanceof MailQueueUnavailableError) {
    return new MailQueueUnavailableError(
      `${error.message} ${queued} recipients of campaign ${campaignId} are queued.`,
      {
        ...details,
        outcome: error.outcome,
      },
    );
  }
  const continues = `${queued} recipients are queued and will be served; sendBulk with the same id continues.`;
  if (signal?.aborted) {
    return new MailError(`The queueing of campaign ${campaignId} was aborted. ${continues}`, {
      ...details,
      permanent: false,
      code: 'ABORTED',
    });
  }
  return new MailError(
    `The recipients of campaign ${campaignId} could not be read on: ${reasonOf(error)}. ${continues}`,
    {
      ...details,
      permanent: false,
      code: 'SOURCE_FAILED',
    },
  );
}
