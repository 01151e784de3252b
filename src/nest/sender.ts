import type { SentReceipt } from '../delivery/priority.js';
import { MailConfigError } from '../errors.js';
import type { MailEmitter } from '../events/emitter.js';
import { decideLane } from '../message/classify.js';
import { keyedId, newId } from '../message/ids.js';
import type { BulkMailInput, MailMessageInput } from '../message/message.js';
import { parseBulk, parseMessage } from '../message/parse.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { Once } from '../queue/once.js';
import type { OwnId, QueuedReceipt } from '../queue/producer.js';
import type { CampaignReceipt } from '../queue/queueing.js';
import type { Routes } from '../transport/route.js';
import type { MailSettings } from './options/parse.js';
import { PriorityEvents } from './priority-events.js';
import { PriorityLane } from './priority-lane.js';

/**
 * What became of a `send()`: `sent`, the provider has it; or `queued`, it is durably in the queue and not sent yet, also of a
 * priority mail with `priority.overflow: 'queue'`.
 */
export type MailReceipt = SentReceipt | QueuedReceipt;

/** What becomes of a message that the application hands over: from its input to the lane that takes it. */
export class Sender {
  private readonly priorityLane: PriorityLane;

  constructor(
    private readonly settings: MailSettings,
    private readonly routes: Routes,
    private readonly queue: MailQueue | undefined,
    private readonly once: Once,
    events: MailEmitter,
  ) {
    this.priorityLane = new PriorityLane(settings.priority, routes, queue, new PriorityEvents(events));
  }

  async send(input: MailMessageInput): Promise<MailReceipt> {
    const { timeout, retryUnknown } = this.settings.priority;
    const deadline = performance.now() + timeout;
    const decision = decideLane(input, this.settings);
    const { lane, by: laneBy } = decision;
    const parsed = { ...(await parseMessage(decision.message, this.settings.rules)), laneBy };
    const queue = lane === 'bulk' ? bulkLane(this.queue) : undefined;
    this.routes.check(parsed.transport);
    const send = (own: OwnId | undefined): Promise<MailReceipt> =>
      queue
        ? queue.send(parsed, own)
        : this.priorityLane.send(parsed, own ?? { id: newId('p') }, deadline - performance.now());
    if (parsed.idempotencyKey === undefined) return send(undefined);
    const id = keyedId(parsed.idempotencyKey);
    return this.once.run(id, { lane, timeout, retryUnknown }, (fresh) => send({ id, fresh }));
  }

  async sendBulk(input: BulkMailInput): Promise<CampaignReceipt> {
    const queue = bulkLane(this.queue);
    const parsed = await parseBulk(input, this.settings.rules);
    this.routes.check(parsed.transport);
    return queue.sendBulk(parsed, input);
  }
}

/** @throws MailConfigError when there is none */
export function bulkLane(queue: MailQueue | undefined): MailQueue {
  if (queue) return queue;
  throw new MailConfigError('There is no bulk lane: the mail module was configured with queue: false.');
}
