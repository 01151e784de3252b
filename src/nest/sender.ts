import { Logger, type Type } from '@nestjs/common';
import type { SentReceipt } from '../delivery/priority.js';
import { MailConfigError, MailValidationError } from '../errors.js';
import type { TraceContext, Tracer } from '../events/tracer.js';
import { atHand, release } from '../message/attachments.js';
import { decideLane, type Decision } from '../message/classify.js';
import { batchId, keyedId, messageId, newId } from '../message/ids.js';
import type { AcceptedAttachment, Attachment, BulkMailInput, MailMessageInput } from '../message/message.js';
import { parseBulk, parseMessage, type MessageRules, type ParsedMessage } from '../message/parse.js';
import { READ_AT_ONCE } from '../queue/blobs.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { Once } from '../queue/once.js';
import type { OwnId } from '../queue/packing.js';
import type { QueuedReceipt } from '../queue/producer.js';
import type { CampaignReceipt } from '../queue/queueing.js';
import { Semaphore } from '../queue/semaphore.js';
import type { Routes } from '../transport/route.js';
import { within } from '../within.js';
import type { Mailable } from './mail-class.js';
import type { MailRenderer } from './mail-renderer.js';
import type { MailClassUse } from './mailables.js';
import type { Mailer } from './mailer.js';
import type { CollectedReceipt } from './collection.js';
import type { Collector } from './collector.js';
import type { MailSettings } from './options/parse.js';
import { PriorityLane } from './priority-lane.js';
import { traceSend, traceSendBulk } from './send-spans.js';

/**
 * What became of a `send()`: `sent`, the provider has it; or `queued`, it is durably in the queue and not sent yet, also of a
 * priority mail with `priority.overflow: 'queue'`; or `collected`, it waits for the request that sent it to succeed.
 */
export type MailReceipt = SentReceipt | QueuedReceipt | CollectedReceipt;

/** What becomes of a message that the application hands over: from its input to the lane that takes it. */
export class Sender {
  private readonly settings: MailSettings;
  private readonly routes: Routes;
  private readonly queue: MailQueue | undefined;
  private readonly once: Once;
  private readonly renderer: MailRenderer;
  private readonly collector: Collector;
  private readonly tracer: Tracer;
  private readonly priorityLane: PriorityLane;
  private readonly reading = new Semaphore(READ_AT_ONCE);
  private readonly logger = new Logger('MailService');

  constructor(mailer: Mailer) {
    this.settings = mailer.settings;
    this.routes = mailer.routes;
    this.queue = mailer.queue;
    this.once = mailer.once;
    this.renderer = mailer.renderer;
    this.collector = mailer.collector;
    this.priorityLane = new PriorityLane(mailer);
    this.tracer = mailer.tracer;
  }

  async sendClass(type: Type<Mailable<never>>, options: ClassMessage): Promise<MailReceipt> {
    const { input, mail } = this.renderer.mailables.use(type, options);
    return this.send(input, mail);
  }

  async send(input: MailMessageInput, mail?: MailClassUse): Promise<MailReceipt> {
    const deadline = performance.now() + this.settings.priority.timeout;
    const decision = decideLane(input, this.settings, mail?.lane);
    return traceSend(this.tracer, decision.lane, (trace) => this.sendBy(decision, mail, deadline, trace));
  }

  private async sendBy(
    decision: Decision,
    mail: MailClassUse | undefined,
    deadline: number,
    trace: TraceContext | undefined,
  ): Promise<MailReceipt> {
    const { lane } = decision;
    const parsing = this.parse(decision, mail, trace);
    const collection = lane === 'bulk' ? this.collector.current : undefined;
    try {
      if (!collection) return await this.sendParsed(await parsing, decision, deadline);
      const receipt = await collection.add(parsing);
      this.tell(receipt.id, decision);
      return receipt;
    } finally {
      // What has not become of it leaves its streams unread.
      void parsing.then(({ attachments }) => release(attachments)).catch(() => undefined);
    }
  }

  private async sendParsed(parsed: ParsedMessage, decision: Decision, deadline: number): Promise<MailReceipt> {
    const { lane } = decision;
    const { timeout, retryUnknown } = this.settings.priority;
    const queue = lane === 'bulk' ? bulkLane(this.queue) : undefined;
    const send = async (given: OwnId | undefined): Promise<MailReceipt> => {
      if (queue) {
        const receipt = await queue.send(parsed, given);
        this.tell(receipt.id, decision);
        return receipt;
      }
      const own = given ?? { id: newId('p') };
      this.tell(own.id, decision);
      const message = { ...parsed, attachments: await this.atHand(parsed.attachments, deadline) };
      return this.priorityLane.send(message, own, deadline - performance.now());
    };
    if (parsed.idempotencyKey === undefined) return send(undefined);
    const id = keyedId(parsed.idempotencyKey);
    return this.once.run(id, { lane, timeout, retryUnknown }, (fresh) => send({ id, fresh }));
  }

  /** Not all at once, as each is in memory then. @throws MailValidationError also when that is not in time */
  private async atHand(attachments: readonly AcceptedAttachment[], deadline: number): Promise<Attachment[]> {
    if (attachments.every(({ content }) => Buffer.isBuffer(content))) return atHand(attachments);
    const late = (): Error => {
      const message = `they could not be read within priority.timeout (${this.settings.priority.timeout} ms)`;
      return new MailValidationError([{ path: 'attachments', message }]);
    };
    const read = async (): Promise<Attachment[]> => {
      const leave = await this.reading.enter();
      try {
        if (performance.now() > deadline) throw late();
        return await atHand(attachments);
      } finally {
        leave();
      }
    };
    return within(deadline - performance.now(), read(), late);
  }

  async sendBulkClass(type: Type<Mailable<never>>, bulk: ClassCampaign): Promise<CampaignReceipt> {
    const { input, mail } = this.renderer.mailables.use(type, bulk);
    return this.sendBulk(input, mail);
  }

  async sendBulk(input: BulkMailInput, mail?: MailClassUse): Promise<CampaignReceipt> {
    const queue = bulkLane(this.queue);
    return traceSendBulk(this.tracer, async (trace) => {
      const parsed = parseBulk(input, this.rulesFor(mail), mail);
      try {
        if (parsed.rendering) await this.renderer.check(parsed.rendering.source);
        this.routes.check(parsed.transport);
        this.warnOfLongId(parsed.id);
        return await queue.sendBulk(trace === undefined ? parsed : { ...parsed, trace }, input);
      } finally {
        release(parsed.attachments);
      }
    });
  }

  private async parse(
    { message, by }: Decision,
    mail: MailClassUse | undefined,
    trace: TraceContext | undefined,
  ): Promise<ParsedMessage> {
    const parsed = parseMessage(message, this.rulesFor(mail), mail);
    parsed.laneBy = by;
    if (trace !== undefined) parsed.trace = trace;
    try {
      if (parsed.rendering) await this.renderer.check(parsed.rendering.source);
      this.routes.check(parsed.transport);
    } catch (error) {
      release(parsed.attachments);
      throw error;
    }
    return parsed;
  }

  private rulesFor(mail: MailClassUse | undefined): MessageRules {
    const { rules } = this.settings;
    return mail?.from ? { ...rules, from: mail.from } : rules;
  }

  private warnOfLongId(id: string | undefined): void {
    const { returnPaths } = this.settings;
    if (id === undefined || !returnPaths || returnPaths.fits(messageId(batchId(id, 9, 9_999), 999))) return;
    this.logger.warn(
      `The campaign id ${id} has no room in a mail's envelope sender, so bounces that come back by mail suppress nobody. Give it a shorter one.`,
    );
  }

  private tell(id: string, { lane, by }: Decision): void {
    if (!Logger.isLevelEnabled('debug')) return;
    this.logger.debug(`Message ${id} goes by the ${lane} lane: ${by}`);
  }
}

type ClassMessage = MailMessageInput & { data?: unknown };
type ClassCampaign = BulkMailInput & { data?: unknown };

/** @throws MailConfigError when there is none */
export function bulkLane(queue: MailQueue | undefined): MailQueue {
  if (queue) return queue;
  throw new MailConfigError('There is no bulk lane: the mail module was configured with queue: false.');
}
