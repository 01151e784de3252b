export { MailFake, type DeliveredCounts, type DeliverQueuedOptions } from './mail-fake.js';
export type { FailedReply, Failure } from './failures.js';
export { MailAssertionError } from './listing.js';
export { Mailbox, type ReceivedMail } from './mailbox.js';
export type { FailOptions } from './outbox.js';
export type { OutgoingMail, TestAttachment } from './outgoing-mail.js';
export { QueuedMail } from './queued-mail.js';
export { SentMail } from './sent-mail.js';
export {
  transportContract,
  type ContractServer,
  type ServerMail,
  type ServerMood,
  type TransportContractCheck,
  type TransportContractOptions,
} from './transport-contract.js';
export type { Asked, MailClass, MailMatcher, Wanted } from './wanted.js';
export { getMailPartsToken } from '../nest/parts.js';
