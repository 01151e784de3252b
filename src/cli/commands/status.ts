import type { TransportHealth } from '../../nest/mail-health.js';
import type { QueueReport } from '../../queue/reader.js';
import type { MailStatus } from '../../queue/status.js';
import type { Context } from '../context.js';
import type { ExitCode } from '../exit-code.js';
import { NotFoundError } from '../failure.js';
import { withMailer } from '../mailer.js';
import { age, count, facts, table, time } from '../text.js';
import { ranks } from '../transports.js';

/** How the bulk lane is doing, and the transports as they are configured. */
export function queueStatus(context: Context): Promise<ExitCode> {
  return withMailer(context, 'queue', async ({ mail, health }) => {
    const queue = await mail.queue();
    const transports = health.transports();
    return {
      document: { queue, transports: transports.map(configured) },
      text: () => [queueText(queue), transportsText(transports)].join('\n\n'),
    };
  });
}

/** Where one message is. */
export function messageStatus(context: Context, id: string): Promise<ExitCode> {
  return withMailer(context, 'queue', async ({ mail }) => {
    const status = await mail.status(id);
    if (!status) {
      throw new NotFoundError(
        `There is no message ${id}, or it is past retention (queue.keep). Of a campaign's id tells priority-mail campaign ${id}.`,
      );
    }
    return { document: status, text: () => messageText(status) };
  });
}

/** What holds for any process. How they work is known to the application's own; `verify` asks them. */
function configured({ name, region, rank }: TransportHealth): Pick<TransportHealth, 'name' | 'region' | 'rank'> {
  return { name, rank, ...(region === undefined ? {} : { region }) };
}

function queueText({ paused, batches, oldestWaiting }: QueueReport): string {
  const { waiting, delayed, active, finished, setAside } = batches;
  const since = oldestWaiting && `, the oldest for ${age(oldestWaiting)}`;
  return facts(`The queue is ${paused ? 'paused' : 'open'}. Batches:`, {
    waiting: `${count(waiting)}${since ?? ''}`,
    delayed: count(delayed),
    active: count(active),
    finished: count(finished),
    'set aside': count(setAside),
  });
}

function transportsText(transports: readonly TransportHealth[]): string {
  const rows = transports.map((transport) => [transport.name, ranks(transport), transport.region ?? '']);
  return table([['transport', 'rank', 'region'], ...rows]);
}

function messageText(status: MailStatus): string {
  const { id, state, lane, messageId, campaignId, recipients } = status;
  const heading = facts(`Message ${id}: ${state}`, { lane, 'message id': messageId, campaign: campaignId });
  const rows = recipients.map(({ address, state, attempts, at, transport, nextAttemptAt, reply }) => [
    address,
    state,
    count(attempts),
    at ? time(at) : '',
    nextAttemptAt ? time(nextAttemptAt) : '',
    transport ?? '',
    reply ?? '',
  ]);
  return `${heading}\n\n${table([['recipient', 'state', 'attempts', 'at', 'next', 'transport', 'reply'], ...rows])}`;
}
