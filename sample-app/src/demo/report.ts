import type { CampaignReport } from 'nestjs-priority-mail';
import type { Inbox } from './inbox.js';
import type { Leaving } from './leaving.js';
import type { Outcome } from './scenario.js';
import { count, milliseconds, table, type Row } from './terminal.js';

/** Prints what happened. @returns whether all the mail arrived */
export async function report(
  outcome: Outcome,
  inbox: Inbox | undefined,
  leaving: Leaving | undefined,
): Promise<boolean> {
  const { resets, invoices, posting, comments, receipt, campaign } = outcome;
  const { queued } = receipt;
  const arrived = await inbox?.count(receipt.id);
  const rows: Row[] = [
    ['Password reset, the first', milliseconds(resets.first), 'connects to the mail server'],
    ['Password reset', milliseconds(resets.warm), "with the mail server's answer; median of 20"],
  ];
  if (resets.meanwhile !== undefined) {
    rows.push(['… during the delivery', milliseconds(resets.meanwhile), "while the followers' mails leave"]);
  }
  rows.push(
    ['An invoice', milliseconds(invoices.first), 'with its PDF, at once; those of the members by the bulk lane'],
    ['Posting', milliseconds(posting), `answered with ${count(queued)} mails durably queued`],
    ['A comment', milliseconds(comments.last), 'with a mail to each of the four who take part, queued together'],
    ['Delivered per second', count(perSecond(campaign)), pace(campaign, inbox !== undefined)],
  );
  if (arrived) {
    const { mails, ofPost, recipients, korean } = arrived;
    const ofNext = leaving?.sent ?? 0;
    const others = mails - ofPost - resets.sent - comments.mails - arrived.invoices - ofNext;
    const more = [
      ...(ofNext > 0 ? [`, ${count(ofNext)} of the next post`] : []),
      ...(others > 0 ? [`, ${count(others)} from before`] : []),
    ].join('');
    const note = `${count(ofPost)} to ${count(recipients)} followers, ${count(resets.sent)} resets, ${comments.mails} of comments, ${arrived.invoices} invoices with a PDF${more}`;
    rows.push(['In the inbox', count(mails), note]);
    rows.push(['In Korean', count(korean), "of the followers' mails; the others in English"]);
  }
  if (leaving) {
    const note = 'one by a mail program, one in the browser, one whose mail came back; the next post leaves them out';
    rows.push(['Readers who left', count(leaving.suppressed), note]);
  }
  const why = campaign.lastError === undefined ? '' : `: ${campaign.lastError}`;
  rows.push(['Campaign', campaign.state, `${count(campaign.failed)} failed${why}`]);
  table(rows);

  if (leaving && !(leaving.sent === 1 && leaving.suppressed === 3)) return false;
  const left = campaign.state === 'completed' && campaign.sent === queued;
  if (!arrived) return left;
  return left && arrived.ofPost === queued && arrived.recipients === queued && arrived.invoices >= invoices.mails;
}

/** From the first mail queued to the last one accepted. */
function perSecond({ sent, startedAt, finishedAt }: CampaignReport): number {
  return finishedAt ? Math.round((sent / Math.max(1, finishedAt.getTime() - startedAt.getTime())) * 1_000) : 0;
}

function pace({ sent, startedAt, finishedAt }: CampaignReport, toInbox: boolean): string {
  if (!finishedAt) return `${count(sent)} so far`;
  const took = `${count(sent)} in ${milliseconds(finishedAt.getTime() - startedAt.getTime())}`;
  return toInbox ? `${took}; the inbox parses each and sets the pace` : took;
}
