import { MailValidationError, type Fault } from '../errors.js';
import type { Feedback } from '../feedback/feedback.js';
import { parseFeedback } from '../feedback/parse-feedback.js';
import type { FeedbackReceipt } from '../queue/feedback/intake.js';
import type { MailQueue } from '../queue/mail-queue.js';
import { bulkLane } from './sender.js';

export interface ReportOptions {
  /**
   * False: nobody vouches for who sent them. Such a report suppresses nothing unless it fits a mail that was sent. Default
   * true.
   */
  signed?: boolean;
}

/**
 * Takes what is reported of mails after they were sent, from whoever it comes: matches it to its mail, tells it as an event,
 * and feeds the suppression list, the campaign's report and `stats()`.
 *
 * ```ts
 * await mail.feedback.report({
 *   key: event.id, type: 'bounced', source: 'courier', address: event.to, at: new Date(event.time),
 *   permanent: true, reply: event.reason, match: { messageId: event.messageId },
 * });
 * ```
 */
export class MailFeedback {
  /** @internal */
  constructor(private readonly mailQueue: MailQueue | undefined) {}

  /**
   * Resolves when it is durable; the same `key` of the same `source` counts once, whichever process it comes to.
   *
   * @throws MailValidationError what is wrong with the reports; none of them was taken
   * @throws MailQueueUnavailableError the store cannot be reached: hand them over again
   * @throws MailConfigError with `queue: false`
   */
  async report(
    feedback: Feedback | readonly Feedback[],
    { signed = true }: ReportOptions = {},
  ): Promise<FeedbackReceipt> {
    const queue = bulkLane(this.mailQueue);
    const several = Array.isArray(feedback);
    const given = (several ? feedback : [feedback]) as readonly Feedback[];
    const reports: Feedback[] = [];
    const faults: Fault[] = [];
    for (const [index, one] of given.entries()) {
      const parsed = parseFeedback(one, several ? `[${index}]` : '');
      if ('fault' in parsed) faults.push(parsed.fault);
      else reports.push(parsed.feedback);
    }
    if (faults.length > 0) throw new MailValidationError(faults);
    return queue.report(reports, signed);
  }
}
