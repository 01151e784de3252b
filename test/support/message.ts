import type { Message } from '../../src/message/message.js';

/** The least a message can be, and what a test adds to it. */
export function plainMessage(extra: Partial<Message> = {}): Message {
  return {
    from: { name: '', address: 'shop@shop.test' },
    to: [{ name: '', address: 'ann@mail.test' }],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: 'Hello',
    headers: [],
    attachments: [],
    ...extra,
  };
}
