import { MailConfigError, MailError, MailQueueUnavailableError, MailValidationError, reasonOf } from '../errors.js';
import { batchId, newId } from '../message/ids.js';
import type { BulkMailInput } from '../message/message.js';
import type { ParsedBulk } from '../message/parse.js';
import { recipientKey } from '../message/recipient.js';
import { oneLine } from '../message/text.js';
import type { Records } from '../store/records.js';
import { answered } from './answered.js';
import type { Backend } from './backend.js';
import { itemTo, type StoredAttachment } from './batch.js';
import { waitingError, type BatchFormat } from './batch-format.js';
import type { Blobs } from './blobs.js';
import {
  batchIds,
  beginFingerprint,
  endFingerprint,
  newRecord,
  queuedRecipients,
  readRecord,
  writePass,
  writeRecord,
  type CampaignRecord,
  type Pass,
} from './campaign-record.js';
import { Claim } from './claim.js';
import type { Flusher } from './flush.js';
import { KeySet } from './key-set.js';
import { keys } from './keys.js';
import { Packer } from './packer.js';
import { keepRecord } from './retention.js';
import { Queueing, type CampaignOptions, type CampaignReceipt } from './queueing.js';

type Source = Pick<BulkMailInput, 'recipients' | 'signal' | 'onProgress'>;

/** A campaign whose attachments are in the store. */
interface KeptBulk {
  bulk: ParsedBulk;
  attachments: StoredAttachment[];
  fingerprint: string;
}

/** Batches whose recipients are read together when a campaign is continued. */
const READ_AHEAD = 50;

/** Queues campaigns: reads the source no faster than the queue takes it, and holds a few batches in memory. */
export class CampaignProducer {
  constructor(
    private readonly flusher: Flusher,
    private readonly backend: Backend,
    private readonly records: Records,
    private readonly format: BatchFormat,
    private readonly blobs: Blobs,
    private readonly options: CampaignOptions,
    private readonly onError: (error: Error) => void,
  ) {}

  /**
   * @throws MailConfigError when it has attachments and no attachment store is named
   * @throws MailValidationError an attachment cannot be read, or is too large
   * @throws MailQueueUnavailableError, or MailError when the source fails or the signal aborts; what is queued stays, and
   *   both carry `campaignId` and `queued`
   */
  async send(bulk: ParsedBulk, input: Source): Promise<CampaignReceipt> {
    const id = bulk.id ?? newId('c');
    if (bulk.attachments.length > 0) this.blobs.check();
    await this.flusher.reach();
    const content = await this.keep(bulk);
    const claim = (): Promise<Claim> => answered(Claim.take(this.records, id, () => this.save(id, {})));
    return bulk.id === undefined ? this.begin(id, content, input, claim) : this.goOn(id, content, input, claim);
  }

  /** Puts its attachments into the store: only then is it known what it says. */
  private async keep(bulk: ParsedBulk): Promise<KeptBulk> {
    const fingerprint = beginFingerprint(bulk);
    const attachments =
      bulk.attachments.length === 0 ? [] : await answered(this.blobs.put(bulk.attachments, fingerprint));
    return { bulk, attachments, fingerprint: endFingerprint(fingerprint) };
  }

  /** A campaign whose id was just made: nobody else can have it, so the store is asked everything at once. */
  private async begin(
    id: string,
    content: KeptBulk,
    input: Source,
    take: () => Promise<Claim>,
  ): Promise<CampaignReceipt> {
    const claiming = take();
    const asked = Promise.all([this.open(id, content), this.claimPass(id, 0)]);
    asked.catch(() => undefined);
    const claim = await claiming;
    try {
      const [record, pass] = await answered(asked);
      return await this.fill(record, pass, new KeySet(), content, input, claim);
    } finally {
      void claim.release();
    }
  }

  private async goOn(
    id: string,
    content: KeptBulk,
    input: Source,
    take: () => Promise<Claim>,
  ): Promise<CampaignReceipt> {
    const claim = await take();
    try {
      const record = await answered(this.open(id, content));
      if (record.complete) {
        await answered(this.extend(record));
        return { id, queued: 0, duplicates: queuedRecipients(record), rejected: 0, rejections: [] };
      }
      const seen = await answered(this.alreadyQueued(record));
      const pass = await answered(this.claimPass(id, record.passes.length));
      if (record.failed) await answered(this.save(id, { failed: false }));
      return await this.fill(record, pass, seen, content, input, claim);
    } finally {
      await claim.release();
    }
  }

  private async fill(
    record: CampaignRecord,
    pass: number,
    seen: KeySet,
    { bulk, attachments }: KeptBulk,
    input: Source,
    claim: Claim,
  ): Promise<CampaignReceipt> {
    const { recipients, onProgress } = input;
    const signal = input.signal ? AbortSignal.any([input.signal, claim.lost]) : claim.lost;
    const { id } = record;
    const before = queuedRecipients(record);
    const flush = this.flusher.flush.bind(this.flusher);
    const save = (progress: Pass, fields: Partial<CampaignRecord> = {}): Promise<void> =>
      this.save(id, fields, writePass(pass, progress));
    const writeDown = async (progress: Pass): Promise<void> => {
      await answered(Promise.all([save(progress), this.refuseIfCancelled(id)]));
    };
    const run = new Queueing(id, before, seen, this.options, onProgress, flush, writeDown, this.onError);
    try {
      run.packer = new Packer(id, bulk, attachments, this.options, pass);
      await run.readAll(recipients, bulk, signal);
      await answered(save(run.durable(), { complete: true, failed: false }));
      return run.receipt();
    } catch (error) {
      const durable = await run.settled();
      await save(durable, { failed: true, lastError: oneLine(reasonOf(error)) }).catch(() => undefined);
      throw interrupted(error, id, before + durable.recipients, signal);
    }
  }

  /** Asked for again, it is known for longer. As long as a batch is there, its record is kept anyway. */
  private async extend(record: CampaignRecord): Promise<void> {
    const [first] = batchIds(record);
    if (first === undefined || (await this.backend.queue.getJob(first))) return;
    await keepRecord(this.records, record.id, Date.now());
  }

  private save(id: string, fields: Partial<CampaignRecord>, more: Record<string, string> = {}): Promise<void> {
    const changed = { ...writeRecord({ ...fields, seenAt: Date.now() }), ...more };
    return this.records.merge([{ key: keys.campaign(id), fields: changed }]);
  }

  private async refuseIfCancelled(id: string): Promise<void> {
    const [fields] = await this.records.get([keys.campaign(id)]);
    if (fields && readRecord(fields).cancelled) throw cancelled(id);
  }

  /** Creates the campaign's record, or takes up the one that is there. */
  private async open(id: string, { bulk, fingerprint }: KeptBulk): Promise<CampaignRecord> {
    const fresh = writeRecord(newRecord(id, fingerprint, bulk, Date.now()));
    if (await this.records.putIfAbsent(keys.campaign(id), fresh)) return readRecord(fresh);
    const [fields] = await this.records.get([keys.campaign(id)]);
    const record = readRecord(fields ?? {});
    if (record.fingerprint !== fingerprint) {
      const message = `${JSON.stringify(id)} belongs to a campaign with another message; give this one an id of its own`;
      throw new MailValidationError([{ path: 'id', message }], 'campaign');
    }
    if (record.cancelled) throw cancelled(id);
    // Its batches do not go while they are read.
    if (!record.complete) await this.save(id, {});
    return record;
  }

  /** A number that no other call has, even one that still believes to be queueing this campaign. */
  private async claimPass(id: string, from: number): Promise<number> {
    for (let pass = from; ; pass++) {
      if (await this.records.putIfAbsent(keys.pass(id, pass), { at: String(Date.now()) })) return pass;
    }
  }

  /** The recipients of a campaign that is continued, read back from its batches. Completes what the record says of them. */
  private async alreadyQueued(record: CampaignRecord): Promise<KeySet> {
    const seen = new KeySet();
    for (const [pass, known] of record.passes.entries()) {
      const found = await this.readPass(record.id, pass, known, seen);
      // A batch may have been queued whose number could not be written down any more.
      if (found.batches === known.batches) continue;
      record.passes[pass] = found;
      await this.save(record.id, {}, writePass(pass, found));
    }
    return seen;
  }

  private async readPass(id: string, pass: number, known: Pass, seen: KeySet): Promise<Pass> {
    const found = { ...known };
    for (let from = 0; ; from += READ_AHEAD) {
      const numbers = Array.from({ length: READ_AHEAD }, (_, index) => from + index);
      const jobs = await Promise.all(numbers.map((number) => this.backend.queue.getJob(batchId(id, pass, number))));
      for (const [index, job] of jobs.entries()) {
        const name = batchId(id, pass, numbers[index]!);
        if (!job) {
          if (numbers[index]! < known.batches) throw unknownServed(id, `${name} is past retention (queue.keep)`);
          continue;
        }
        const read = await this.format.read(job.data);
        if ('problem' in read) {
          if (read.isNewer)
            throw unknownServed(id, `${name} was written by a newer release, which this process cannot read`);
          continue;
        }
        // Who is in it cannot be told, and would be queued a second time.
        if ('head' in read) throw waitingError(read, `Batch ${read.head.id}`);
        const { items } = read.batch;
        for (const item of items) {
          const { key } = item;
          seen.add(recipientKey({ to: itemTo(item)[0]!, ...(key === undefined ? {} : { idempotencyKey: key }) }));
        }
        if (numbers[index]! < found.batches) continue;
        found.batches = numbers[index]! + 1;
        found.recipients += items.length;
      }
      if (from + READ_AHEAD > found.batches) return found;
    }
  }
}

/** What stops a campaign, and is not its source's doing. */
const OWN: ReadonlySet<string | undefined> = new Set(['ATTACHMENT_GONE', 'CAMPAIGN_LOST', 'CANCELLED']);

function cancelled(campaignId: string): MailError {
  return new MailError(`The campaign ${campaignId} was cancelled`, { permanent: true, code: 'CANCELLED', campaignId });
}

/** Queued on, those who were served would get it again. */
function unknownServed(campaignId: string, why: string): MailError {
  return new MailError(
    `The campaign ${campaignId} cannot be continued, since nobody can tell who was served: batch ${why}. Give a new id, and those who are still to get it.`,
    { permanent: true, code: 'CAMPAIGN_PAST_RETENTION', campaignId },
  );
}

function interrupted(error: unknown, campaignId: string, queued: number, signal: AbortSignal | undefined): MailError {
  const details = { campaignId, queued, cause: error };
  // Of the attachment store.
  if (error instanceof MailConfigError) return error;
  if (error instanceof MailError && OWN.has(error.code)) {
    return new MailError(`${error.message.replace(/\.$/, '')}. ${queued} recipients were queued.`, {
      ...details,
      permanent: error.permanent,
      code: error.code,
    });
  }
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
