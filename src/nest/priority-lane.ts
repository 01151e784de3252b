import type { EnvelopeSenders } from '../delivery/envelope-senders.js';
import type { Preparation } from '../delivery/preparation.js';
import { sendNow, type SentReceipt } from '../delivery/priority.js';
import type { Suppressed } from '../delivery/suppressed.js';
import { MailDeliveryError, MailError, MailValidationError, reasonOf } from '../errors.js';
import type { Tracer } from '../events/tracer.js';
import type { SuppressionList } from '../feedback/suppression.js';
import { messageIdHeader } from '../message/ids.js';
import { envelopeRecipients, type Message, type Travel } from '../message/message.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { OwnId } from '../queue/packing.js';
import type { QueuedReceipt } from '../queue/producer.js';
import type { Routes } from '../transport/route.js';
import { within } from '../within.js';
import type { Mailer } from './mailer.js';
import type { PrioritySettings } from './options/parse.js';
import { PriorityEvents } from './priority-events.js';

/** The caller has waited for the providers already. */
const QUEUED_WITHIN = 10_000;
/** Somebody waits for the mail. Milliseconds. */
const FOUND_WITHIN = 250;

/** Sends while the caller waits; what no provider takes at once goes over to the queue where the application wants that. */
export class PriorityLane {
  private readonly settings: PrioritySettings;
  private readonly routes: Routes;
  private readonly queue: MailQueue | undefined;
  private readonly preparation: Preparation;
  private readonly events: PriorityEvents;
  private readonly senders: EnvelopeSenders | undefined;
  private readonly tracer: Tracer;
  private readonly suppressions: SuppressionList | undefined;
  private readonly onError: (error: Error) => void;

  constructor({ settings, routes, queue, preparation, events, statistics, tracer, suppressions, onError }: Mailer) {
    this.settings = settings.priority;
    this.routes = routes;
    this.queue = queue;
    this.preparation = preparation;
    this.events = new PriorityEvents(events, statistics);
    this.senders = settings.returnPaths;
    this.tracer = tracer;
    this.suppressions = settings.suppression.priority === 'ignore' ? undefined : suppressions;
    this.onError = onError;
  }

  /**
   * @param timeout milliseconds left for it
   * @throws MailDeliveryError
   * @throws MailError (`RENDER`)
   * @throws Veto | InterceptorError
   */
  async send(message: Message & Travel, own: OwnId, timeout: number): Promise<SentReceipt | QueuedReceipt> {
    const { id } = own;
    if (message.sendAt !== undefined) {
      const fault = "needs the queue: the priority lane sends at once. Add lane: 'bulk'";
      throw new MailValidationError([{ path: 'sendAt', message: fault }]);
    }
    const mail = { id, messageId: messageIdHeader(id, message.from.address), recipients: envelopeRecipients(message) };
    const startedAt = performance.now();
    try {
      const { retryUnknown } = this.settings;
      const { preparation, senders, tracer } = this;
      const find = this.finder(Math.min(FOUND_WITHIN, timeout / 4));
      const options = { id, timeout, retryUnknown, preparation, senders, tracer, ...(find ? { find } : {}) };
      const sent = await sendNow(message, this.routes, options);
      const { receipt, settled, suppressed, delivery } = sent;
      this.queue?.recordPriority({ ...receipt, ...settled, suppressed }, mail, delivery.providerId);
      this.events.sent(sent, { id, message, duration: performance.now() - startedAt });
      return receipt;
    } catch (error) {
      let failure = error;
      if (error instanceof MailDeliveryError && mayFlowOver(error)) {
        const outcome = await this.flowOver(message, own, error);
        if (!(outcome instanceof MailDeliveryError)) return outcome;
        failure = outcome;
      }
      this.queue?.recordPriority({ status: 'unsent', error: failure }, mail);
      this.events.unsent(failure, { id, message, duration: performance.now() - startedAt });
      throw failure;
    }
  }

  /** Who of the recipients is suppressed. A list that does not answer in time stops no mail. */
  private finder(milliseconds: number): ((addresses: readonly string[]) => Promise<Suppressed>) | undefined {
    const { suppressions } = this;
    if (!suppressions) return undefined;
    return async (addresses) => {
      try {
        const found = suppressions.find(addresses, { lane: 'priority' });
        return await within(milliseconds, found, () => new Error('it did not answer in time'));
      } catch (error) {
        const message = `A priority mail is sent without asking the suppression list: ${reasonOf(error)}`;
        this.onError(new Error(message, { cause: error }));
        return new Map();
      }
    };
  }

  /** Into the queue, ahead of everything, with the same id and Message-ID; the error when that fails too. */
  private async flowOver(
    message: Message & Travel,
    own: OwnId,
    error: MailDeliveryError,
  ): Promise<QueuedReceipt | MailDeliveryError> {
    if (this.settings.overflow !== 'queue' || !this.queue) return error;
    try {
      const queued = this.queue.send(message, { ...own, urgency: 'overflow' });
      return await within(
        QUEUED_WITHIN,
        queued,
        () => new Error(`the queue did not answer within ${QUEUED_WITHIN} ms`),
      );
    } catch (reason) {
      return new MailDeliveryError(error.id, error.attempts, {
        message: `${error.message} Nor could it be queued: ${reasonOf(reason)}`,
        permanent: false,
        outcome: reason instanceof MailError ? reason.outcome : 'unknown',
        cause: error.cause,
      });
    }
  }
}

/** Surely nobody has it, and a later try may succeed. */
function mayFlowOver({ outcome, permanent, attempts }: MailDeliveryError): boolean {
  return outcome === 'not-sent' && !permanent && attempts.every((attempt) => !attempt.permanent);
}
