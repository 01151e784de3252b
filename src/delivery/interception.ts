import { MailError } from '../errors.js';
import type { Lane, Message, Source } from '../message/message.js';

/** A message that is about to be encoded and sent. */
export interface Draft {
  id: string;
  messageId: string;
  lane: Lane;
  campaignId?: string;
  /** What it was rendered from. */
  source?: Source;
  message: Message;
}

/** What the application does to every message right before it is encoded, in both lanes. */
export interface Interception {
  /**
   * The message as it is to be sent; the very same object when nobody has changed it.
   *
   * @throws Veto it is not to be sent at all
   * @throws InterceptorError this message cannot be sent
   */
  intercept(draft: Draft): Promise<Message>;
}

/** An interceptor wants this message not to be sent. */
export class Veto extends MailError {
  declare readonly id: string;

  constructor(id: string, interceptor: string) {
    super(`Message ${id} is not sent: ${interceptor} vetoed it`, { permanent: true, code: 'VETOED', id });
  }
}

/** An interceptor threw, or made a message that cannot be sent. */
export class InterceptorError extends MailError {
  declare readonly id: string;

  /** @param options.permanent another try would come to the same */
  constructor(id: string, interceptor: string, what: string, options: { permanent: boolean; cause?: unknown }) {
    super(`Message ${id} is not sent: ${interceptor} ${what}`, { code: 'INTERCEPTOR', id, ...options });
  }
}
