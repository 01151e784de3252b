import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { NotFoundError } from '../failure.js';
import { withMailer } from '../mailer.js';
import { count } from '../text.js';
import { findCampaign } from './campaign.js';

/** Sends the failed messages of a campaign again. */
export function retry(context: Context, id: string): Promise<ExitCode> {
  return withMailer(context, 'queue', async ({ mail }) => {
    const { state } = await findCampaign(mail, id);
    const retried = await mail.retryFailed(id);
    const text = (): string =>
      retried === 0
        ? `Nothing of the campaign ${id} can be sent again: it is ${state}, and ${state === 'cancelled' ? 'stays so' : 'nothing has failed'}.`
        : `${count(retried)} messages of the campaign ${id} wait in the queue again.`;
    return { document: { campaign: id, retried }, text };
  });
}

/** Holds a campaign, or the whole bulk lane. */
export function pause(context: Context, id: string | undefined): Promise<ExitCode> {
  return hold(context, id, true);
}

/** Goes on with what was paused or suspended. */
export function resume(context: Context, id: string | undefined): Promise<ExitCode> {
  return hold(context, id, false);
}

function hold(context: Context, id: string | undefined, paused: boolean): Promise<ExitCode> {
  return withMailer(context, 'queue', async ({ mail }) => {
    if (id !== undefined) await findCampaign(mail, id);
    await (paused ? mail.pause(id) : mail.resume(id));
    const what = id === undefined ? 'The bulk lane' : `The campaign ${id}`;
    const text = (): string =>
      paused ? `${what} is paused. Messages that are being sent are finished.` : `${what} goes on.`;
    return { document: { ...(id === undefined ? {} : { campaign: id }), paused }, text };
  });
}

/** Stops what is unsent of a campaign, or one message. Fails when there is nothing left to stop. */
export function cancel(context: Context, id: string): Promise<ExitCode> {
  return withMailer(context, 'queue', async ({ mail }) => {
    const known = (await mail.status(id)) ?? (await mail.campaign(id));
    if (!known) throw new NotFoundError(`There is no message or campaign ${id}, or it is past retention (queue.keep).`);
    const cancelled = await mail.cancel(id);
    const text = (): string => (cancelled ? `${id} is cancelled.` : `Nothing of ${id} was left to be stopped.`);
    return { document: { id, cancelled }, text, exitCode: cancelled ? EXIT.ok : EXIT.failed };
  });
}
