import { createHash, randomBytes } from 'node:crypto';
import type { MailEmitter } from '../../events/emitter.js';
import type { FeedbackEvent } from '../../events/events.js';
import type { Feedback } from '../../feedback/feedback.js';
import { scopeOfList, type Suppression, type SuppressionList } from '../../feedback/suppression.js';
import { splitMessageId } from '../../message/ids.js';
import type { Change, Records } from '../../store/records.js';
import type { Sealer } from '../../store/sealing.js';
import { GroupCommit } from '../group-commit.js';
import { keys } from '../keys.js';
import type { Statistics } from '../statistics.js';
import type { KnownMail, MailLookup } from './known-mail.js';
import { countReports, countsField, writeReport } from './reports.js';

/** What is done about reports. */
export interface FeedbackSettings {
  /** How long the same report is known again, in milliseconds. */
  remember: number;
  /** A provider's own ids of mails are remembered. */
  providerIds: boolean;
  /** What the address gets no more of; false: nothing is done. */
  suppress: {
    /** Of permanent bounces. */
    bounces: 'all' | 'bulk' | false;
    complaints: 'all' | 'bulk' | false;
    unsubscribes: boolean;
    /** Of what a server refuses while a mail is handed over, as nobody has reported it. */
    rejections: 'all' | 'bulk' | false;
  };
}

/** What became of reports. */
export interface FeedbackReceipt {
  /** Taken now. */
  accepted: number;
  /** Of these, those that a mail of ours fits. */
  matched: number;
  /** Known already: nothing was done. */
  replayed: number;
}

/** How long what was reported can be asked for, in milliseconds. */
export interface ReportsKept {
  /** Of single messages. */
  message: number;
  /** Of campaigns. */
  campaign: number;
}

interface Entry {
  reports: readonly Feedback[];
  /** Somebody vouches for them. */
  signed: boolean;
  receipt: FeedbackReceipt;
}

interface Report {
  feedback: Feedback;
  signed: boolean;
  mark: string;
  receipt: FeedbackReceipt;
  mail?: KnownMail;
  suppression?: Suppression;
}

/** What the intake works with. */
export interface IntakeParts {
  records: Records;
  mails: MailLookup;
  suppressions: Pick<SuppressionList, 'add'>;
  events: Pick<MailEmitter, 'emit' | 'wants'>;
  statistics: Statistics;
  sealer: Sealer;
}

/** Of what a suppression says. */
const MAX_NOTE = 500;
/** Reports that are written together. */
const MAX_GROUP = 500;

/**
 * Takes what is reported of mails: once each, first into the store, then told. All of it may be repeated without harm, and
 * what marks a report as taken is written last: one that is cut off in the middle does all of its work the next time.
 */
export class FeedbackIntake {
  private readonly writer = randomBytes(6).toString('base64url');
  private readonly commit: GroupCommit<Entry>;

  constructor(
    private readonly parts: IntakeParts,
    private readonly settings: FeedbackSettings,
    private readonly kept: ReportsKept,
  ) {
    this.commit = new GroupCommit(
      (entries) => this.take(entries),
      ({ reports }) => reports.length,
      MAX_GROUP,
    );
  }

  /**
   * Resolves when it is durable. Rejects while the store cannot be reached; then the same reports are to come again.
   *
   * @param signed false: nobody vouches for them, so that one which fits no mail of ours suppresses nothing
   */
  async report(reports: readonly Feedback[], signed: boolean): Promise<FeedbackReceipt> {
    const receipt = { accepted: 0, matched: 0, replayed: 0 };
    if (reports.length > 0) await this.commit.add({ reports, signed, receipt });
    return receipt;
  }

  /** Counts and tells what was not believed. */
  refuse(source: string, reason: string): void {
    this.parts.statistics.refuse(source, reason);
    if (this.parts.events.wants('feedback-refused')) this.parts.events.emit('feedback-refused', { source, reason });
  }

  private async take(entries: readonly Entry[]): Promise<void> {
    const { fresh, known } = await this.sort(entries);
    await Promise.all(
      fresh.map(async (report) => {
        const mail = await this.parts.mails.match(report.feedback.match);
        if (mail) report.mail = mail;
      }),
    );
    await this.keep(fresh);
    await this.suppress(fresh);
    const late = await this.mark(fresh);
    for (const report of fresh) if (!late.includes(report)) this.tell(report);
    for (const { feedback, receipt } of [...known, ...late]) {
      receipt.replayed++;
      this.refuse(feedback.source, 'replayed');
    }
  }

  /** Those that come for the first time, and the others. */
  private async sort(entries: readonly Entry[]): Promise<{ fresh: Report[]; known: Report[] }> {
    const all = entries.flatMap(({ reports, signed, receipt }) =>
      reports.map((feedback): Report => ({ feedback, signed, mark: markOf(feedback), receipt })),
    );
    const marks = await this.parts.records.get(all.map(({ mark }) => mark));
    const seen = new Set<string>();
    const isKnown = ({ mark }: Report, index: number): boolean => marks[index] !== undefined || seen.has(mark);
    const sorted = { fresh: [] as Report[], known: [] as Report[] };
    for (const [index, report] of all.entries()) {
      sorted[isKnown(report, index) ? 'known' : 'fresh'].push(report);
      seen.add(report.mark);
    }
    return sorted;
  }

  /** For `status()` and `campaign()`. */
  private async keep(reports: readonly Report[]): Promise<void> {
    const changes: Change[] = [];
    const campaigns = new Map<string, string>();
    const now = Date.now();
    const expiries = new Map<number, Set<string>>();
    const add = (change: Change, keptFor: number): void => {
      changes.push(change);
      const at = now + keptFor;
      expiries.set(at, (expiries.get(at) ?? new Set()).add(change.key));
    };
    for (const { feedback, mail } of reports) {
      if (!mail) continue;
      const change = writeReport(mail.id, feedback, this.parts.sealer);
      add(change, mail.campaignId === undefined ? this.kept.message : this.kept.campaign);
      if (mail.campaignId !== undefined) campaigns.set(splitMessageId(mail.id)!.batch, mail.campaignId);
    }
    if (changes.length === 0) return;
    await this.parts.records.merge(changes);
    if (campaigns.size > 0) {
      const batches = [...campaigns.keys()];
      // Read after they are written: whoever of two processes comes last has both.
      const written = await this.parts.records.get(batches.map(keys.reports));
      const counts = batches.map((batch, index): Change => {
        const campaignId = campaigns.get(batch)!;
        const fields = countsField(batch, campaignId, this.writer, countReports(written[index]));
        return { key: keys.reported(campaignId), fields };
      });
      for (const change of counts) add(change, this.kept.campaign);
      await this.parts.records.merge(counts);
    }
    await Promise.all([...expiries].map(([at, some]) => this.parts.records.expire([...some], at)));
  }

  private async suppress(reports: readonly Report[]): Promise<void> {
    const wanted: Suppression[] = [];
    for (const report of reports) {
      // Anybody can write down an address.
      if (!report.mail && !report.signed) continue;
      const suppression = suppressionBy(report, this.settings.suppress);
      if (suppression) wanted.push((report.suppression = suppression));
    }
    if (wanted.length > 0) await this.parts.suppressions.add(wanted);
  }

  /** Those that another process has taken meanwhile. */
  private async mark(reports: readonly Report[]): Promise<Report[]> {
    const until = Date.now() + this.settings.remember;
    const marked = await Promise.all(
      reports.map(({ mark }) => this.parts.records.putIfAbsent(mark, { at: String(Date.now()) }, until)),
    );
    return reports.filter((_, index) => !marked[index]);
  }

  private tell({ feedback, mail, suppression, receipt }: Report): void {
    receipt.accepted++;
    if (mail) receipt.matched++;
    const { type } = feedback;
    this.parts.statistics.countFeedback(type, mail?.lane);
    const wanted = (['feedback', type] as const).filter((name) => this.parts.events.wants(name));
    if (wanted.length === 0) return;
    const event = eventOf(feedback, mail, suppression);
    for (const name of wanted) this.parts.events.emit(name, event);
  }
}

function markOf({ source, key }: Feedback): string {
  return keys.heardOf(createHash('sha256').update(`${source}\n${key}`).digest('base64url').slice(0, 24));
}

function suppressionBy(
  { feedback, mail }: Report,
  { bounces, complaints, unsubscribes }: FeedbackSettings['suppress'],
): Suppression | undefined {
  const { type, address, at, permanent, reply, source, list = mail?.list } = feedback;
  const about = { address, since: at, note: (reply ?? `reported by ${source}`).slice(0, MAX_NOTE) };
  if (type === 'bounced' && permanent === true && bounces !== false) {
    return { ...about, scope: bounces, reason: 'hard-bounce' };
  }
  if (type === 'complained' && complaints !== false) return { ...about, scope: complaints, reason: 'complaint' };
  if (type === 'unsubscribed' && unsubscribes) {
    return { ...about, scope: list === undefined ? 'bulk' : scopeOfList(list), reason: 'unsubscribed' };
  }
  return undefined;
}

function eventOf(feedback: Feedback, mail: KnownMail | undefined, suppression: Suppression | undefined): FeedbackEvent {
  const { key: _, match, ...said } = feedback;
  const { id, lane, campaignId, messageId } = mail ?? {};
  const { providerId } = match;
  return {
    ...said,
    ...(id === undefined ? {} : { id }),
    ...(lane === undefined ? {} : { lane }),
    ...(campaignId === undefined ? {} : { campaignId }),
    ...(messageId === undefined ? {} : { messageId }),
    ...(providerId === undefined ? {} : { providerId }),
    ...(suppression ? { suppressed: suppression.scope } : {}),
  };
}
