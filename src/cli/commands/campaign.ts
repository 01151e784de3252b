import type { CampaignReport } from '../../queue/reader.js';
import type { Context } from '../context.js';
import type { ExitCode } from '../exit-code.js';
import { NotFoundError, UsageError } from '../failure.js';
import { withMailer, type Mailer } from '../mailer.js';
import { RecipientList } from '../recipient-list.js';
import { count, facts, time } from '../text.js';

/** A file, or true for standard output. */
export type Destination = string | true;

/** The lists that were asked for, and where to. */
export interface Lists {
  failures?: Destination;
  remaining?: Destination;
}

/** The lists that went into files. */
export type Written = Record<string, { file: string; recipients: number }>;

/** How a campaign is doing. With a list to standard output that alone, so that it can be piped. */
export async function campaign(context: Context, id: string, lists: Lists): Promise<ExitCode> {
  const chosen = Object.entries(lists) as [keyof Lists, Destination][];
  const piped = chosen.filter(([, destination]) => isStandardOutput(destination));
  if (piped.length > 1) {
    throw new UsageError('Only one list can go to standard output. Give --failures or --remaining a file.');
  }
  return withMailer(context, 'queue', async ({ mail }) => {
    const report = await findCampaign(mail, id);
    const written: Written = {};
    for (const [list, destination] of chosen) {
      const recipients = new RecipientList(mail[list](id));
      if (isStandardOutput(destination)) await recipients.print(context.output);
      else written[list] = { file: destination, recipients: await recipients.save(destination) };
    }
    if (piped.length > 0) return undefined;
    const document = { ...report, ...(chosen.length > 0 ? { written } : {}) };
    return { document, text: () => campaignText(report, written) };
  });
}

/** @throws NotFoundError */
export async function findCampaign(mail: Mailer['mail'], id: string): Promise<CampaignReport> {
  const report = await mail.campaign(id);
  if (report) return report;
  throw new NotFoundError(`There is no campaign ${id}, or it is past retention (queue.keep).`);
}

function isStandardOutput(destination: Destination): destination is true | '-' {
  return destination === true || destination === '-';
}

/** A campaign for a person, and where its lists are. */
export function campaignText(report: CampaignReport, written: Written): string {
  const { id, name, state, total, suspended } = report;
  const known = facts(`Campaign ${id}${name === undefined ? '' : ` (${name})`}: ${state}`, {
    recipients: count(total),
    sent: `${count(report.sent)}${total > 0 ? ` (${Math.floor((100 * report.sent) / total)} %)` : ''}`,
    queued: count(report.queued),
    deferred: count(report.deferred),
    failed: count(report.failed),
    suppressed: count(report.suppressed),
    cancelled: count(report.cancelled),
    expired: count(report.expired),
    started: time(report.startedAt),
    'last seen': time(report.seenAt),
    finished: report.finishedAt && time(report.finishedAt),
    'bound by': report.boundBy,
    'last error': report.lastError,
    suspended: suspended && `${time(suspended.at)}, at message ${suspended.place}: ${suspended.error}`,
    remaining: suspended && `${count(suspended.remaining)}. Go on: priority-mail resume ${id}`,
  });
  const lists = Object.entries(written).map(
    ([list, { file, recipients }]) => `${list}: ${count(recipients)} recipients written to ${file}`,
  );
  return [known, ...lists].join('\n');
}
