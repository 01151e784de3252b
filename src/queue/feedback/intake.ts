import { createHash, randomBytes } from 'node:crypto';
import type { MailEmitter } from '../../events/emitter.js';
import type { FeedbackEvent } from '../../events/events.js';
import { MailError, MailQueueUnavailableError, reasonOf } from '../../errors.js';
import type { Feedback } from '../../feedback/feedback.js';
import { scopeOfList, suppressionKey, type Suppression, type SuppressionList } from '../../feedback/suppression.js';
import { splitMessageId } from '../../message/ids.js';
import type { Change, Records } from '../../store/records.js';
import type { Sealer } from '../../store/sealing.js';
import { GroupCommit } from '../group-commit.js';
import { keys } from '../keys.js';
import type { Statistics } from '../statistics.js';
import type { KnownMail } from './known-mail.js';
import type { MailLookup } from './mail-lookup.js';
import { countReports, countsField, writeReports, type ReportOf } from './reports.js';

/** What is done about reports. */
export interface FeedbackSettings {
  /** How long the same report is known again, in milliseconds. */
  remember: number;
  /** A provider's own ids of mails are remembered. Undefined: nobody has said, and they are not. */
  providerIds: boolean | undefined;
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

/**
 * Who vouches for reports: a signature; the signed return path of a mail, which has no date; nobody, except that `mail` is known to
 * have gone to their address. What nobody vouches for suppresses nobody.
 */
export type Trust = 'signed' | 'signed-mail' | 'mail' | 'nobody';

interface Entry {
  reports: readonly Feedback[];
  trust: Trust;
  receipt: FeedbackReceipt;
  /** Why they were not taken, of all that came with them. */
  failure?: Error;
}

interface Report {
  feedback: Feedback;
  entry: Entry;
  mark: string;
  /** Of an earlier try here, which told nothing. */
  marked: boolean;
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

/** Marks without a telling that are kept in mind. */
const MAX_UNTOLD = 10_000;

/**
 * Takes what is reported of mails: once each, first into the store, then told. All of it may be repeated without harm, and
 * what marks a report as taken is written last: one that is cut off in the middle does all of its work the next time. It is told at
 * most once: a process that dies between the mark and the telling has not told it.
 */
export class FeedbackIntake {
  private readonly writer = randomBytes(6).toString('base64url');
  private readonly commit: GroupCommit<Entry>;
  /** Marks that may have been written, where the telling did not follow. */
  private readonly untold = new Set<string>();

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
   * @throws MailError why the suppression list did not take them
   */
  async report(reports: readonly Feedback[], trust: Trust): Promise<FeedbackReceipt> {
    const entry: Entry = { reports, trust, receipt: { accepted: 0, matched: 0, replayed: 0 } };
    if (reports.length > 0) await this.commit.add(entry);
    if (entry.failure) throw entry.failure;
    return entry.receipt;
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
        const mail = await this.match(report);
        if (mail) report.mail = mail;
      }),
    );
    await this.keep(fresh);
    await this.suppress(fresh);
    const taken = fresh.filter(({ entry }) => !entry.failure);
    const late = await this.mark(taken);
    for (const report of taken) if (!late.has(report)) this.tell(report);
    for (const { feedback, entry } of [...known, ...late]) {
      entry.receipt.replayed++;
      this.refuse(feedback.source, 'replayed');
    }
  }

  /** What nobody vouches for has to be about one whom the mail has gone to. */
  private async match({ feedback, entry }: Report): Promise<KnownMail | undefined> {
    if (entry.trust !== 'nobody') return this.parts.mails.match(feedback.match, 'existence');
    const mail = await this.parts.mails.match(feedback.match, 'recipients');
    const key = suppressionKey(feedback.address);
    return mail?.recipients?.some((recipient) => suppressionKey(recipient) === key) ? mail : undefined;
  }

  /** Those that come for the first time, and the others. */
  private async sort(entries: readonly Entry[]): Promise<{ fresh: Report[]; known: Report[] }> {
    const all = entries.flatMap((entry) =>
      entry.reports.map((feedback): Report => ({ feedback, entry, mark: markOf(feedback), marked: false })),
    );
    const marks = await this.parts.records.get(all.map(({ mark }) => mark));
    const seen = new Set<string>();
    const sorted = { fresh: [] as Report[], known: [] as Report[] };
    for (const [index, report] of all.entries()) {
      report.marked = marks[index]?.['by'] === this.writer && this.untold.has(report.mark);
      const isKnown = seen.has(report.mark) || (marks[index] !== undefined && !report.marked);
      sorted[isKnown ? 'known' : 'fresh'].push(report);
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
    const matched = reports.filter((report): report is Report & ReportOf => report.mail !== undefined);
    const written = await writeReports(matched, this.parts.records, this.parts.sealer);
    for (const [index, { mail }] of matched.entries()) {
      add(written[index]!, mail.campaignId === undefined ? this.kept.message : this.kept.campaign);
      if (mail.campaignId !== undefined) campaigns.set(splitMessageId(mail.id)!.batch, mail.campaignId);
    }
    if (changes.length === 0) return;
    await this.parts.records.merge(changes);
    if (campaigns.size > 0) {
      const batches = [...campaigns.keys()];
      // Read after they are written: whoever of two processes comes last has both.
      const all = await this.parts.records.get(batches.map(keys.reports));
      const counts = batches.map((batch, index): Change => {
        const campaignId = campaigns.get(batch)!;
        const fields = countsField(batch, campaignId, this.writer, countReports(all[index]));
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
      // Anybody can write down an address, and the id of a mail.
      if (report.entry.trust === 'mail' || report.entry.trust === 'nobody') continue;
      const suppression = suppressionBy(report, this.settings.suppress);
      if (suppression) wanted.push((report.suppression = suppression));
    }
    if (wanted.length === 0) return;
    try {
      await this.parts.suppressions.add(wanted);
    } catch {
      await this.suppressApart(reports);
    }
  }

  /** An application's own list may refuse one address, and is not to refuse with it what came at the same time. */
  private async suppressApart(reports: readonly Report[]): Promise<void> {
    const wanted = new Map<Entry, Suppression[]>();
    for (const { entry, suppression } of reports) {
      if (suppression) wanted.set(entry, [...(wanted.get(entry) ?? []), suppression]);
    }
    await Promise.all(
      [...wanted].map(async ([entry, suppressions]) => {
        try {
          await this.parts.suppressions.add(suppressions);
        } catch (cause) {
          entry.failure = notSuppressed(cause);
        }
      }),
    );
  }

  /** Those that another process has taken meanwhile. */
  private async mark(reports: readonly Report[]): Promise<Set<Report>> {
    const now = Date.now();
    const { remember } = this.settings;
    for (const { mark } of reports) if (this.untold.size < MAX_UNTOLD) this.untold.add(mark);
    const late = new Set<Report>();
    await Promise.all(
      reports.map(async (report) => {
        const { mark, marked, entry } = report;
        if (marked) return;
        // What came by mail has no date, and may be handed over again at any time.
        const byMail = entry.trust === 'signed-mail' || entry.trust === 'mail';
        const until = now + (byMail ? Math.max(remember, this.kept.campaign) : remember);
        const isNew = await this.parts.records.putIfAbsent(mark, { at: String(now), by: this.writer }, until);
        if (!isNew) late.add(report);
      }),
    );
    for (const { mark } of reports) this.untold.delete(mark);
    return late;
  }

  private tell({ feedback, mail, suppression, entry: { receipt } }: Report): void {
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

function notSuppressed(cause: unknown): MailError {
  if (cause instanceof MailError) return cause;
  return new MailQueueUnavailableError(`The suppression list did not take what was reported: ${reasonOf(cause)}`, {
    cause,
  });
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
    return { ...about, scope: scopeOfList(list), reason: 'unsubscribed' };
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
