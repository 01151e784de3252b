import { MailError } from '../errors.js';
import type { Lane, Message } from '../message/message.js';

/** A message that is about to be encoded and sent. */
export interface Draft {
  id: string;
  messageId: string;
  lane: Lane;
  campaignId?: string;
  message: Message;
}

/** What the application does to every message right before it is encoded, in both lanes. */
export interface Interception {
  /**
   * The message as it is to be sent; the very same object when nobody has changed it.
   *
   * @throws Veto when it is not to be sent at all, anything else when this message alone cannot be sent
   */
  intercept(draft: Draft): Promise<Message>;
}

/** An interceptor wants this message not to be sent. */
export class Veto extends MailError {
  constructor(id: string, interceptor: string) {
    super(`Message ${id} is not sent: the interceptor ${interceptor} vetoed it`, { permanent: true, code: 'VETOED' });
  }
}
