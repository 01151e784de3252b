import { MailConfigError } from '../../errors.js';
import type { MailModuleRootOptions } from '../../nest/mail.module.js';
import type { RunReport } from '../../queue/run.js';
import { loadConfig } from '../config/config.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { openMailer, type Mailer } from '../mailer.js';
import { count } from '../text.js';

/** When a worker ends by itself. */
export interface Limits {
  untilEmpty?: boolean;
  /** Milliseconds. */
  maxTime?: number;
  /** Batches at a time. */
  batches?: number;
}

/** The longest that `runUntil()` takes. */
export const LONGEST = '24d';

/** Delivers bulk mail until its limits are reached, or a signal comes: it then ends in order, within `shutdownTimeout`. */
export async function worker(context: Context, limits: Limits): Promise<ExitCode> {
  const { output, interruption } = context;
  const limited = limits.untilEmpty === true || limits.maxTime !== undefined;
  const options = workerOptions(await loadConfig(context), limits, !limited);
  const mailer = await openMailer(options, limited ? 'run' : 'worker', context);
  // A run that is under way ends with it, and still has its report to give.
  const closed = interruption.came.then(() => mailer.close());
  closed.catch(() => undefined);
  try {
    if (!limited) output.tell('Delivering bulk mail until SIGTERM or Ctrl-C.');
    const report = limited ? await runUntil(mailer, limits) : await closed.then(() => ({ reason: 'closed' as const }));
    output.print({ document: report, text: () => textOf(report) });
    return EXIT.ok;
  } finally {
    await mailer.close();
  }
}

function runUntil({ worker }: Mailer, { untilEmpty = false, maxTime }: Limits): Promise<RunReport> {
  return worker.runUntil({ deadline: maxTime ?? LONGEST, empty: untilEmpty });
}

/** @throws MailConfigError there is no bulk lane */
export function workerOptions(
  options: MailModuleRootOptions,
  { batches }: Limits,
  autorun: boolean,
): MailModuleRootOptions {
  const { queue = {} } = options;
  if (queue === false)
    throw new MailConfigError('There is no bulk lane to work on: the mail is configured with queue: false.');
  const worker = { ...(queue.worker || {}), autorun, ...(batches === undefined ? {} : { batches }) };
  return { ...options, queue: { ...queue, worker } };
}

const REASONS: Record<RunReport['reason'], string> = {
  empty: 'Nothing is due any more',
  deadline: 'The time is over',
  aborted: 'Stopped',
  closed: 'Stopped',
};

function textOf(report: RunReport | Pick<RunReport, 'reason'>): string {
  if (!('batches' in report)) return `${REASONS[report.reason]}.`;
  const { reason, batches, sent, failed, deferred } = report;
  return (
    `${REASONS[reason]}: ${count(sent)} sent, ${count(failed)} failed, ${count(deferred)} deferred ` +
    `in ${count(batches)} batches.`
  );
}
