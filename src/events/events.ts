/** What a message is rendered from. */
export interface RenderedFrom {
  /** A mail class, or a template. */
  kind: 'mail' | 'template';
  name: string;
}

/** What every event about one message tells. */
export interface AboutMessage {
  /** What `status()` and `cancel()` take. */
  id: string;
  /** The header, angle brackets included. */
  messageId: string;
  lane: 'priority' | 'bulk';
  campaignId?: string;
  /** What it is rendered from, if it is. */
  source?: RenderedFrom;
  /** The envelope recipients that this happened to: all of the message's, or some of them. */
  recipients: string[];
}

/** A message of `send()` is durably in the queue. */
export interface QueuedEvent extends AboutMessage {
  lane: 'bulk';
  /**
   * What decided on the lane: `message`, `mail class`, `classify: <function>` or `defaultLane`; `overflow` for a priority
   * mail that no transport took.
   */
  laneBy: string;
  /** Not before this time. */
  sendAt?: Date;
}

/** `sendBulk()` has queued all recipients of its source. */
export interface CampaignQueuedEvent {
  campaignId: string;
  name?: string;
  source?: RenderedFrom;
  /** Recipients queued by this call. */
  queued: number;
  /** Recipients that the campaign had already. */
  duplicates: number;
  /** Invalid recipients. The first 100 of them are in the receipt. */
  rejected: number;
  /** Milliseconds that the call took. */
  duration: number;
}

/** A provider has accepted a message. */
export interface SentEvent extends AboutMessage {
  transport: string;
  /** The server's final reply. */
  reply: string;
  /** The id that the provider gave the message, where it replaces the Message-ID. */
  providerId?: string;
  /** Priority lane: transports tried, this one included. Bulk lane: answers so far, this one included. */
  attempts: number;
  /** Priority lane: what decided on the lane, as in `queued`. */
  laneBy?: string;
  /** Milliseconds from the begin of its delivery to the answer. On the priority lane that is what the caller waited. */
  duration: number;
  /** Bulk lane: milliseconds since it was queued, or since its `sendAt` if that was later. */
  queuedFor?: number;
}

/** A message of the bulk lane was not accepted, and is tried again. */
export interface DeferredEvent extends AboutMessage {
  lane: 'bulk';
  transport?: string;
  /** The server's words; of several recipients' those about the first. */
  reply: string;
  /** RFC 5321 reply code. */
  replyCode?: number;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  /** Answers so far, this one included. */
  attempts: number;
  /** The transport was busy: this one spent no attempt, and is not in `attempts`. */
  busy: boolean;
  nextAttemptAt: Date;
}

/** A message is given up. */
export interface FailedEvent extends AboutMessage {
  /** The transport of the last answer; undefined where none was asked. */
  transport?: string;
  /** The server's words, or why nothing could be sent; of several recipients' those about the first. */
  reply: string;
  /** RFC 5321 reply code. */
  replyCode?: number;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  /** `unknown`: it may have been accepted all the same. */
  outcome: 'not-sent' | 'unknown';
  /** As in `sent`; 0 where no transport was asked. */
  attempts: number;
  /** A machine-readable reason that is none of a server's, such as `RENDER`. */
  code?: string;
  /** Priority lane: what decided on the lane, as in `queued`. */
  laneBy?: string;
  /** Milliseconds from the begin of its (last) delivery until it failed. */
  duration: number;
}

/**
 * A queued message was cancelled, alone or with its campaign, and a worker has put it away; or an interceptor vetoed one; or the
 * suppression list stopped it, for the recipients that are named.
 */
export interface CancelledEvent extends AboutMessage {
  /** Why the suppression list stopped it. */
  suppressed?: 'hard-bounce' | 'complaint' | 'unsubscribed' | 'manual';
  /** The same in words. */
  reply?: string;
  /** Priority lane: what decided on the lane, as in `queued`. */
  laneBy?: string;
}

/** A message was not sent before its `expiresAt`. */
export interface ExpiredEvent extends AboutMessage {
  /** Priority lane: what decided on the lane, as in `queued`. */
  laneBy?: string;
}

/** Every recipient of a batch is settled. */
export interface BatchCompletedEvent {
  batchId: string;
  campaignId?: string;
  /** Messages. */
  size: number;
  /** Recipients by what became of them. */
  sent: number;
  failed: number;
  cancelled: number;
  /** Of the cancelled: those that the suppression list stopped. */
  suppressed: number;
  expired: number;
  /** Milliseconds that its last run took. */
  duration: number;
  /** Milliseconds since it was queued, or since its `sendAt` if that was later. */
  queuedFor: number;
}

/** Every recipient of a campaign is settled. One that was cancelled does not complete. */
export interface CampaignCompletedEvent {
  campaignId: string;
  name?: string;
  /** Recipients, and what became of them. */
  total: number;
  sent: number;
  failed: number;
  cancelled: number;
  /** Of the cancelled: those that the suppression list stopped. */
  suppressed: number;
  expired: number;
  startedAt: Date;
  finishedAt: Date;
  /** What its delivery waited for most of the time. */
  boundBy?: string;
}

/** The bulk mail collected in a request, or by `collect()`, is durably in the queue. */
export interface CollectionFlushedEvent {
  messages: number;
  /** Milliseconds that the flush took. */
  duration: number;
}

/** What was collected is not sent, since the handler has thrown. */
export interface CollectionDiscardedEvent {
  messages: number;
  /** The message of what was thrown. */
  reason: string;
}

/** A transport's circuit has opened: it failed several times in a row, and others go before it. */
export interface TransportDownEvent {
  transport: string;
  region?: string;
  /** The last failure, in the server's or the socket's words. */
  reason: string;
  /** When it is checked again. */
  retryAt: Date;
}

/** It works again. */
export interface TransportUpEvent {
  transport: string;
  region?: string;
  /** Milliseconds that it was down. */
  downFor: number;
}

/** A campaign stands still, as its transports have had no room for it for `queue.waitForCapacity`. `resume(id)` continues it. */
export interface CampaignSuspendedEvent {
  campaignId: string;
  at: Date;
  /** What each transport said, or why it was not asked. */
  error: string;
  /** The id of the message it stopped at. */
  place: string;
  /** Recipients still to be served. */
  remaining: number;
}

/** Something was reported of a mail after a server had taken it. */
export interface FeedbackEvent {
  type: 'bounced' | 'complained' | 'delivered' | 'opened' | 'clicked' | 'unsubscribed';
  /** Who reports, such as `ses`, `postmark`, `dsn`. */
  source: string;
  /** The recipient. */
  address: string;
  /** When it happened, as it was reported. */
  at: Date;
  /** Of the mail, as `status()` takes it. Undefined, as all of the next three, where none of ours fits the report. */
  id?: string;
  lane?: 'priority' | 'bulk';
  campaignId?: string;
  /** The header, angle brackets included. Undefined also where the mail is past retention. */
  messageId?: string;
  /** The provider's own id of the mail. */
  providerId?: string;
  /** Of a bounce: nothing more will arrive at this address. */
  permanent?: boolean;
  /** RFC 3463 enhanced status code. */
  enhancedCode?: string;
  /** The server's words. */
  reply?: string;
  /** Of a click. */
  url?: string;
  /** Of an unsubscription: the list that is left. */
  list?: string;
  /** What the address gets no more of, from now on: any mail, bulk mail, or that of one list. */
  suppressed?: 'all' | 'bulk' | `list:${string}`;
}

/** A report was not believed, or came again. Nothing was done. */
export interface FeedbackRefusedEvent {
  /** Whom it claims to be from. */
  source: string;
  /** `forged`, `stale`, `malformed`, `unknown-topic`, `oversized`, `unauthorized`, `replayed` or `unmatched`. */
  reason: string;
}

/** What happened, by its name. */
export interface MailEvents {
  queued: QueuedEvent;
  'campaign-queued': CampaignQueuedEvent;
  sent: SentEvent;
  deferred: DeferredEvent;
  failed: FailedEvent;
  cancelled: CancelledEvent;
  expired: ExpiredEvent;
  'batch-completed': BatchCompletedEvent;
  'campaign-completed': CampaignCompletedEvent;
  'campaign-suspended': CampaignSuspendedEvent;
  'collection-flushed': CollectionFlushedEvent;
  'collection-discarded': CollectionDiscardedEvent;
  'transport-down': TransportDownEvent;
  'transport-up': TransportUpEvent;
  feedback: FeedbackEvent;
  bounced: FeedbackEvent;
  complained: FeedbackEvent;
  delivered: FeedbackEvent;
  opened: FeedbackEvent;
  clicked: FeedbackEvent;
  unsubscribed: FeedbackEvent;
  'feedback-refused': FeedbackRefusedEvent;
}

export type MailEventName = keyof MailEvents;

const NAMES: Record<MailEventName, true> = {
  queued: true,
  'campaign-queued': true,
  sent: true,
  deferred: true,
  failed: true,
  cancelled: true,
  expired: true,
  'batch-completed': true,
  'campaign-completed': true,
  'campaign-suspended': true,
  'collection-flushed': true,
  'collection-discarded': true,
  'transport-down': true,
  'transport-up': true,
  feedback: true,
  bounced: true,
  complained: true,
  delivered: true,
  opened: true,
  clicked: true,
  unsubscribed: true,
  'feedback-refused': true,
};
export const MAIL_EVENT_NAMES: readonly string[] = Object.keys(NAMES);
