import type { FeedbackMatch } from '../../feedback/feedback.js';
import type { Lane } from '../../message/message.js';
import {
  idOfMessageId,
  isOwnId,
  messageId,
  messageIdAt,
  messageIdHeader,
  splitBatchId,
  splitMessageId,
} from '../../message/ids.js';
import type { Records } from '../../store/records.js';
import type { Sealer } from '../../store/sealing.js';
import type { MailJobQueue } from '../backend.js';
import { itemRecipients, senderOf } from '../batch.js';
import type { BatchFormat } from '../batch-format.js';
import { readRecord, type CampaignRecord } from '../campaign-record.js';
import { keys } from '../keys.js';
import { readPriorityStatus } from '../priority-record.js';
import type { KnownMail } from './known-mail.js';
import { providerKey } from './provider-ids.js';

/** What is kept of a batch that reports come of. */
interface KnownBatch {
  of: Pick<KnownMail, 'campaignId' | 'list'>;
  mails: readonly Pick<KnownMail, 'messageId' | 'recipients'>[];
}

/** Reports of a campaign come one after the other; its batches are read once. Addresses of all batches that are kept. */
const MAX_ADDRESSES = 50_000;
const MAX_CAMPAIGNS = 1_000;
const KEPT_FOR = 60_000;

/** Whether the recipients are wanted, for which a whole batch is read. */
export type Wanted = 'existence' | 'recipients';

/** Finds out whether an id is that of a mail of ours. */
export class MailLookup {
  private readonly batches: Kept<KnownBatch> = new Map();
  private addresses = 0;
  private readonly campaigns: Kept<CampaignRecord> = new Map();

  constructor(
    private readonly queue: MailJobQueue,
    private readonly records: Records,
    private readonly format: BatchFormat,
    private readonly sealer: Sealer,
  ) {}

  /** The mail of ours that a report is about. */
  async match({ id, messageId, providerId }: FeedbackMatch, wanted: Wanted): Promise<KnownMail | undefined> {
    const ours = messageId === undefined ? undefined : idOfMessageId(messageId);
    for (const candidate of [id, ours]) {
      const mail = candidate === undefined ? undefined : await this.find(candidate, wanted);
      if (mail) return mail;
    }
    // SES and others put an id of their own in place of our Message-ID.
    for (const theirs of [providerId, messageId]) {
      if (theirs === undefined || theirs === '') continue;
      const [fields] = await this.records.get([providerKey(theirs)]);
      const known = fields?.['id'];
      if (known !== undefined) return (await this.find(known, wanted)) ?? { id: known, lane: laneOf(known) };
    }
    return undefined;
  }

  /** Undefined: no mail of ours has this id, or nothing is known of it any more. */
  async find(id: string, wanted: Wanted = 'recipients'): Promise<KnownMail | undefined> {
    const place = splitMessageId(id);
    if (!place) return undefined;
    const queued = wanted === 'existence' ? await this.campaignMail(id, place.batch) : undefined;
    if (queued) return queued;
    const batch = await this.batch(place.batch);
    const mail = batch?.mails[place.index];
    if (batch) return mail && { id, lane: 'bulk', ...batch.of, ...mail };
    return isOwnId(id) ? this.priorityMail(id) : this.campaignMail(id, place.batch);
  }

  private async priorityMail(id: string): Promise<KnownMail | undefined> {
    const [fields] = await this.records.get([keys.mail(id)]);
    if (!fields) return undefined;
    const status = readPriorityStatus(id, fields, this.sealer);
    if (!status) return { id, lane: 'priority' };
    return {
      id,
      lane: 'priority',
      messageId: status.messageId,
      recipients: status.recipients.map(({ address }) => address),
    };
  }

  /** By the campaign, which is known for longer than its messages, and of which one small record is read. */
  private async campaignMail(id: string, batch: string): Promise<KnownMail | undefined> {
    const of = splitBatchId(batch);
    const record = of && (await this.campaign(of.campaignId));
    if (!record || of.number >= (record.passes[of.pass]?.batches ?? 0)) return undefined;
    const { list, domain } = record;
    return {
      id,
      lane: 'bulk',
      campaignId: of.campaignId,
      ...(list === undefined ? {} : { list }),
      ...(domain === undefined ? {} : { messageId: messageIdAt(id, domain) }),
    };
  }

  private campaign(id: string): Promise<CampaignRecord | undefined> {
    return remembered(this.campaigns, id, async () => {
      if (this.campaigns.size >= MAX_CAMPAIGNS) this.campaigns.clear();
      const [fields] = await this.records.get([keys.campaign(id)]);
      return fields && readRecord(fields);
    });
  }

  private batch(id: string): Promise<KnownBatch | undefined> {
    return remembered(this.batches, id, () => this.load(id));
  }

  private async load(id: string): Promise<KnownBatch | undefined> {
    if (this.addresses > MAX_ADDRESSES) {
      this.batches.clear();
      this.addresses = 0;
    }
    const job = await this.queue.getJob(id);
    const read = job && (await this.format.read(job.data));
    // One more for what there is not: it is to count too.
    this.addresses++;
    if (!read || !('batch' in read)) return undefined;
    const { batch } = read;
    const mails = batch.items.map((item, index) => ({
      messageId: messageIdHeader(messageId(id, index), senderOf(batch, index)),
      recipients: itemRecipients(batch, item),
    }));
    this.addresses += mails.length;
    const { campaign } = batch;
    const { list } = batch.shared;
    return { mails, of: { ...(campaign ? { campaignId: campaign.id } : {}), ...(list === undefined ? {} : { list }) } };
  }
}

/** What was read, by its id, and until when it holds. */
type Kept<T> = Map<string, { read: Promise<T | undefined>; until: number }>;

function remembered<T>(kept: Kept<T>, id: string, load: () => Promise<T | undefined>): Promise<T | undefined> {
  const now = Date.now();
  const known = kept.get(id);
  if (known && known.until > now) return known.read;
  const read = load();
  kept.set(id, { read, until: now + KEPT_FOR });
  read.catch(() => kept.delete(id));
  return read;
}

/** Where nothing else is known of it any more. */
function laneOf(id: string): Lane {
  return id.startsWith('p_') ? 'priority' : 'bulk';
}
