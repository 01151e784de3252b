import type { Readable } from 'node:stream';
import { MailValidationError, type Fault } from '../errors.js';
import type { Feedback } from '../feedback/feedback.js';
import { parseFeedback } from '../feedback/parse-feedback.js';
import type { FeedbackReceipt } from '../queue/feedback/intake.js';
import type { MailReading } from '../queue/feedback/mail-reports.js';
import type { MailQueue } from '../queue/mail-queue.js';
import { bulkLane } from './sender.js';
import type { MailUnsubscriptions } from './unsubscribe/mail-unsubscriptions.js';

export interface ReportOptions {
  /**
   * False: nobody vouches for who sent them. Such a report suppresses nobody, and counts for a mail only if that went to its
   * address. Default true.
   */
  signed?: boolean;
}

export interface ReadMailOptions {
  /** The envelope recipient, where the mail does not name it in `Delivered-To`, `X-Original-To`, `Envelope-To` or `To`. */
  to?: string;
}

/** What is read of a mail: the report and the headers of what is returned stand before that. */
const READ_OF_A_MAIL = 1024 * 1024;

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
  constructor(
    private readonly mailQueue: MailQueue | undefined,
    private readonly unsubscribe?: MailUnsubscriptions['unsubscribeByMail'],
  ) {}

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

  /**
   * Takes what a source vouches for, and leaves out what is no report: the rest is not to come again and again because of it.
   *
   * @internal
   * @param source under whose name what is left out is counted
   * @returns what is wrong with the first that was left out
   */
  async take(feedback: readonly Feedback[], source: string): Promise<string | undefined> {
    const reports: Feedback[] = [];
    let wrong: string | undefined;
    for (const one of feedback) {
      const parsed = parseFeedback(one, '');
      if ('feedback' in parsed) {
        reports.push(parsed.feedback);
        continue;
      }
      wrong ??= `${parsed.fault.path} ${parsed.fault.message}`;
      this.refuse(source, 'malformed');
    }
    if (reports.length > 0) await bulkLane(this.mailQueue).report(reports, true);
    return wrong;
  }

  /**
   * Better at boot than at the first report.
   *
   * @internal
   * @throws MailConfigError with `queue: false`
   */
  check(): void {
    bulkLane(this.mailQueue);
  }

  /**
   * Whether a mail is found by what its provider calls it; undefined where nobody has said.
   *
   * @internal
   */
  get findsByProviderId(): boolean | undefined {
    return this.mailQueue?.findsByProviderId;
  }

  /**
   * Counts and tells a request that is not believed.
   *
   * @internal
   */
  refuse(source: string, reason: string): void {
    this.mailQueue?.feedback.refuse(source, reason);
  }

  /**
   * Reads a mail that came to the address of the option `bounces`, or that a server returned to the sender: bounces and
   * confirmations of delivery (RFC 3464, and those of qmail and Exim), and complaints (RFC 5965). What it reports is taken as by
   * `report()`, when it proves to be about a mail of ours and one of its recipients. Of a large mail the first megabyte is read. A
   * request to unsubscribe, which came to the `mailto` address of a mail, is fulfilled.
   *
   * @param raw the mail as it arrived, headers first
   * @throws MailQueueUnavailableError the store cannot be reached: hand it over again
   * @throws MailConfigError with `queue: false`
   */
  async readMail(raw: Uint8Array | string | Readable, { to }: ReadMailOptions = {}): Promise<MailReading> {
    const queue = bulkLane(this.mailQueue);
    const mail = await beginningOf(raw);
    const reading = await queue.readMail(mail, to);
    if (reading.kind === 'report' || !this.unsubscribe) return reading;
    // Mail programs send such a request by themselves, and some of them say so.
    const { state } = await this.unsubscribe(mail);
    return state === 'valid' ? { kind: 'unsubscribe' } : reading;
  }
}

async function beginningOf(raw: Uint8Array | string | Readable): Promise<Uint8Array> {
  if (typeof raw === 'string') return Buffer.from(raw).subarray(0, READ_OF_A_MAIL);
  if (raw instanceof Uint8Array) return raw.subarray(0, READ_OF_A_MAIL);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of raw as AsyncIterable<Uint8Array | string>) {
    const bytes = Buffer.from(chunk as Uint8Array);
    // The rest is read too: whoever pipes it waits for that.
    if (length < READ_OF_A_MAIL) chunks.push(bytes);
    length += bytes.length;
  }
  return Buffer.concat(chunks).subarray(0, READ_OF_A_MAIL);
}
