import type { BulkMailInput, MailMessageInput, RecipientInput } from '../message/message.js';

/** No field at all. */
export type NoData = Record<never, never>;

/** The data that a mail class takes; it need not be given where there is none. */
export type MailableData<T> = [T] extends [void]
  ? { data?: undefined }
  : undefined extends T
    ? { data?: T }
    : { data: T };

/** What `send(MailClass, …)` takes: the fields of a message, and the class's data in place of a template's. */
export type MailableOptions<T> = Omit<MailMessageInput, 'template' | 'context'> & MailableData<T>;

/** One recipient of `sendBulk(MailClass, …)`. */
export type MailableRecipient<T> = Pick<RecipientInput, 'to' | 'locale' | 'idempotencyKey'> & MailableData<T>;

/** What is left of the data when the campaign has some of it; a recipient may give it all the same. */
export type OwnData<T, Shared> = [keyof Shared] extends [never]
  ? T
  : // Of each of a union's members.
    T extends unknown
    ? Omit<T, keyof Shared> & Partial<Pick<T, keyof T & keyof Shared>>
    : never;

/** What `sendBulk(MailClass, …)` takes: the fields of a campaign, and data in place of merge values. */
export type MailableBulk<T, Shared = NoData> = Omit<
  BulkMailInput,
  'template' | 'context' | 'recipients' | 'groups' | 'missingFields'
> & {
  /** What the mails of all recipients are made from, stored once a batch. */
  data?: Shared;
  recipients:
    | Iterable<MailableRecipient<NoInfer<OwnData<T, Shared>>>>
    | AsyncIterable<MailableRecipient<NoInfer<OwnData<T, Shared>>>>;
};
