import { setTimeout as sleep } from 'node:timers/promises';
import type { CampaignReceipt, CampaignReport } from 'nestjs-priority-mail';
import type { Client } from './client.js';
import { count, Progress, step } from './terminal.js';

const POST = {
  author: 'Mina Park',
  title: 'The garden in spring 🌸',
  text: 'The first peonies are out, and the beans are in the ground.\nCome and see: the gate is open on Sunday.',
};
const COMMENTS = [
  { author: '김지우', text: '작약이 정말 예쁘네요. 일요일에 갈게요!' },
  { author: 'Seán O’Brien', text: 'Lovely! Shall I bring the compost?' },
  { author: '이하늘', text: '저도 갈게요. 🌷' },
  { author: 'Zoë Brontë', text: 'See you all on Sunday.' },
];
const WARM = 20;
const ASK_EVERY = 250;

export interface Outcome {
  resets: { first: number; warm: number; meanwhile?: number; sent: number };
  posting: number;
  /** How long the last one took, and how many mails all of them made. */
  comments: { last: number; mails: number };
  invoices: { first: number; mails: number };
  receipt: CampaignReceipt;
  campaign: CampaignReport;
}

/**
 * A password reset, then a post with all its followers and a discussion, and more resets while their mails leave.
 *
 * @param patience milliseconds without progress until it stops waiting
 */
export async function play(client: Client, patience: number): Promise<Outcome> {
  let sent = 0;
  const reset = async (): Promise<number> => {
    const { took, answer } = await client.reset('jiwoo.kim@example.com');
    if (answer.status === 'sent') sent++;
    return took;
  };
  const resets = await step('A password reset, and twenty more', async () => {
    const first = await reset();
    const warm: number[] = [];
    for (let i = 0; i < WARM; i++) warm.push(await reset());
    return { first, warm: median(warm) };
  });
  const invoices = await step('An invoice, and one for each member', async () => {
    const { took, answer } = await client.invoice('jiwoo.kim@example.com');
    const all = await client.invoiceAll();
    return { first: took, mails: all.answer.queued + (answer.status === 'sent' ? 1 : 0) };
  });
  const posting = await step('A post, its mails queued', () => client.post(POST));
  const comments = await step('Four comments on it', async () => {
    let last = 0;
    let mails = 0;
    for (const comment of COMMENTS) {
      const { took, answer } = await client.comment(posting.answer.id, comment);
      last = took;
      mails += answer.notified;
    }
    return { last, mails };
  });
  const meanwhile: number[] = [];
  const campaign = await follow(client, posting.answer.id, patience, async () => {
    meanwhile.push(await reset());
  });
  return {
    resets: { ...resets, ...(meanwhile.length > 0 ? { meanwhile: median(meanwhile) } : {}), sent },
    posting: posting.took,
    comments,
    invoices,
    receipt: posting.answer,
    campaign,
  };
}

async function follow(
  client: Client,
  id: string,
  patience: number,
  meanwhile: () => Promise<void>,
): Promise<CampaignReport> {
  const progress = new Progress('Delivering');
  let before = { sent: 0, at: performance.now() };
  let rate = 0;
  for (let round = 1; ; round++) {
    const report = await client.campaign(id);
    const now = performance.now();
    if (report.sent > before.sent) {
      rate = ((report.sent - before.sent) / (now - before.at)) * 1_000;
      before = { sent: report.sent, at: now };
    }
    const failed = report.failed > 0 ? `, ${count(report.failed)} failed` : '';
    progress.show(report.sent, report.total, `${count(Math.round(rate))} a second${failed}`);
    const ended = !['queueing', 'running', 'paused'].includes(report.state);
    if (ended || now - before.at > patience) {
      progress.end();
      return report;
    }
    if (report.sent > 0 && round % 4 === 0) await meanwhile();
    await sleep(ASK_EVERY);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
