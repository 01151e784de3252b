import { createHash } from 'node:crypto';
import { FEEDBACK_TYPES, type Feedback, type FeedbackType } from '../../feedback/feedback.js';
import { suppressionKey } from '../../feedback/suppression.js';
import { splitMessageId } from '../../message/ids.js';
import type { Change, Fields, Records } from '../../store/records.js';
import type { Sealer } from '../../store/sealing.js';
import { keys } from '../keys.js';

/** Recipients by what was reported of them; each counts once for a type, however often it was reported. */
export type FeedbackCounts = Record<FeedbackType, number>;

/** The latest report of its type about one recipient. */
export interface RecipientReport {
  /** When it happened, as it was reported. */
  at: Date;
  source: string;
  /** Of a bounce: nothing more will arrive at this address. */
  permanent?: boolean;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  /** The server's words. */
  reply?: string;
  /** Of a click: the link that was followed last. */
  url?: string;
}

/** What was reported about one recipient. */
export type RecipientFeedback = Partial<Record<FeedbackType, RecipientReport>>;

export function noFeedback(): FeedbackCounts {
  return { bounced: 0, complained: 0, delivered: 0, opened: 0, clicked: 0, unsubscribed: 0 };
}

/** A report, and the mail that it is about. */
export interface ReportOf {
  feedback: Feedback;
  mail: { readonly id: string };
}

/** The record and the field in it that each report is kept in: the same for each of its type about this recipient. */
export async function writeReports(
  reports: readonly ReportOf[],
  records: Pick<Records, 'get'>,
  sealer: Sealer,
): Promise<Change[]> {
  const batches = [...new Set(reports.map(({ mail }) => splitMessageId(mail.id)!.batch))];
  // Under another key a recipient has another name, and is to count once.
  const found = sealer.seals && batches.length > 0 ? await records.get(batches.map(keys.reports)) : [];
  const known = new Map(batches.map((batch, index) => [batch, found[index]]));
  return reports.map(({ feedback, mail }) => writeReport(mail.id, feedback, sealer, known));
}

function writeReport(
  id: string,
  feedback: Feedback,
  sealer: Sealer,
  known: ReadonlyMap<string, Fields | undefined>,
): Change {
  const { batch, index } = splitMessageId(id)!;
  const { type, address, at, source, permanent, enhancedCode, reply, url } = feedback;
  const key = keys.reports(batch);
  const said = { at: at.getTime(), source, permanent, enhancedCode, reply, url };
  const fields = namesOf(address, sealer).map((name) => `${index} ${type} ${name}`);
  const field = fields.find((one) => known.get(batch)?.[one] !== undefined) ?? fields[0]!;
  return { key, fields: { [field]: sealer.write(said, key) } };
}

/** What was reported of one message, by the address as it is given. */
export function readReports(
  id: string,
  fields: Fields | undefined,
  sealer: Sealer,
): (address: string) => RecipientFeedback | undefined {
  const { batch, index } = splitMessageId(id)!;
  const found = new Map<string, RecipientFeedback>();
  for (const [field, text] of Object.entries(fields ?? {})) {
    const [place, type, recipient = ''] = field.split(' ');
    if (Number(place) !== index) continue;
    const said = sealer.read(text, keys.reports(batch)) as (Omit<RecipientReport, 'at'> & { at: number }) | undefined;
    if (!said) continue;
    found.set(recipient, { ...found.get(recipient), [type as FeedbackType]: { ...said, at: new Date(said.at) } });
  }
  return (address) => {
    const all = namesOf(address, sealer).flatMap((name) => found.get(name) ?? []);
    return all.length === 0 ? undefined : (Object.assign({}, ...all.reverse()) as RecipientFeedback);
  };
}

/** How many recipients of a batch something was reported of, as its record has it. */
export function countReports(fields: Fields | undefined): FeedbackCounts {
  const counts = noFeedback();
  for (const field of Object.keys(fields ?? {})) counts[field.split(' ')[1] as FeedbackType]++;
  return counts;
}

/**
 * A batch's counts as a field of its campaign's record. They only grow, so of several writers' the greatest holds, however
 * late one of them comes.
 */
export function countsField(batch: string, campaignId: string, writer: string, counts: FeedbackCounts): Fields {
  return { [`${batch.slice(campaignId.length)} ${writer}`]: FEEDBACK_TYPES.map((type) => counts[type]).join(' ') };
}

/** Undefined where nothing was reported. */
export function readCounts(fields: Fields | undefined): FeedbackCounts | undefined {
  if (!fields) return undefined;
  const batches = new Map<string, FeedbackCounts>();
  for (const [field, value] of Object.entries(fields)) {
    const batch = field.slice(0, field.indexOf(' '));
    const known = batches.get(batch) ?? noFeedback();
    for (const [place, count] of value.split(' ').entries()) {
      const type = FEEDBACK_TYPES[place]!;
      known[type] = Math.max(known[type], Number(count));
    }
    batches.set(batch, known);
  }
  const sum = noFeedback();
  for (const counts of batches.values()) for (const type of FEEDBACK_TYPES) sum[type] += counts[type];
  return sum;
}

/** Tell recipients of a message apart, and nobody's address. The first is given; by the others it was written under earlier keys. */
function namesOf(address: string, sealer: Sealer): string[] {
  const key = Buffer.from(suppressionKey(address));
  const names = sealer.keyIds.map((id) => sealer.nameOf(key, id));
  return [...names, createHash('sha256').update(key).digest('hex')].map((name) => name.slice(0, 12));
}
