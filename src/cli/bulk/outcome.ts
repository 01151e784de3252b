import type { CampaignReport } from '../../queue/reader.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { Interrupted } from '../failure.js';
import { openOf } from './progress.js';

/** How a run ended, beside what its campaign's report says. */
export interface RunEnd {
  /** As it was before. Undefined: there was none. */
  before: CampaignReport | undefined;
  /** Rows that nobody could be served by. */
  invalid: number;
  /** That interrupted it. */
  signal: NodeJS.Signals | undefined;
  /** The whole bulk lane is paused. */
  isHeld: boolean;
  queueOnly: boolean;
}

/** What there is to do now, and what the command ends with. */
export interface Outcome {
  text: string;
  exitCode: ExitCode;
}

/** What came of a campaign in one run of the command. */
export function outcomeOf(report: CampaignReport, { before, invalid, signal, isHeld, queueOnly }: RunEnd): Outcome {
  const { id, state, failed, expired } = report;
  const again = 'The same command again goes on with those who are not served yet.';
  const unfinished = (text: string): Outcome => ({ text, exitCode: EXIT.unfinished });
  if (signal) return { text: `Interrupted. ${again}`, exitCode: new Interrupted(signal).exitCode };
  if (state === 'cancelled') return { text: 'It was cancelled.', exitCode: EXIT.failed };
  if (state === 'completed') {
    const text = before?.state === 'completed' ? 'It was completed before: nothing was sent now.' : 'All are served.';
    return { text, exitCode: failed + expired + invalid > 0 ? EXIT.failed : EXIT.ok };
  }
  const isQueued = state !== 'queueing' && state !== 'incomplete';
  if (queueOnly && isQueued)
    return { text: 'A worker of the application delivers it, or priority-mail worker.', exitCode: EXIT.ok };
  if (state === 'suspended')
    return unfinished(`It stands still: ${report.suspended?.error ?? report.lastError}. ${again}`);
  if (state === 'paused')
    return unfinished(`It is paused: priority-mail resume ${id}, and then the same command again.`);
  if (isHeld && openOf(report) > 0) {
    return unfinished('The bulk lane is paused: priority-mail resume, and then the same command again.');
  }
  return unfinished(`The time is over. ${again}`);
}
