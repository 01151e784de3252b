export { MailModule, type MailModuleAsyncOptions, type MailModuleRootOptions } from './nest/mail.module.js';
export { MailService, type TransportCheck } from './nest/mail.service.js';
export { MailSuppressions, type CsvDefaults, type CsvImport, type SuppressionInput } from './nest/mail-suppressions.js';
export type { MailReceipt } from './nest/sender.js';
export type { ISendMailOptions, MailerAttachment } from './nest/mailer-options.js';
export { MailerService, type SentMessageInfo } from './nest/mailer.service.js';
export { MailFeedback, type ReadMailOptions, type ReportOptions } from './nest/mail-feedback.js';
export { MailFeedbackModule, type MailFeedbackAsyncOptions } from './nest/feedback/mail-feedback.module.js';
export type { MailFeedbackOptions } from './nest/feedback/options.js';
export { InjectMail, getMailToken } from './nest/inject-mail.js';
export {
  getMailHealthToken,
  InjectMailHealth,
  MailHealthIndicator,
  type MailerHealth,
  type MailHealth,
  type TransportHealth,
} from './nest/mail-health.js';
export type { HealthThresholds, QueueHealth } from './nest/queue-health.js';
export { getMailWorkerToken, InjectMailWorker, MailWorker, type RunUntilOptions } from './nest/mail-worker.js';
export {
  Mail,
  type HtmlObject,
  type Mailable,
  type MailableAttachment,
  type MailableContent,
  type MailClassOptions,
  type MailRenderContext,
} from './nest/mail-class.js';
export type {
  MailableBulk,
  MailableData,
  MailableOptions,
  MailableRecipient,
  NoData,
  OwnData,
} from './nest/mailable-options.js';
export { MailUnsubscribeModule, type MailUnsubscribeAsyncOptions } from './nest/unsubscribe/mail-unsubscribe.module.js';
export { MailUnsubscriptions } from './nest/unsubscribe/mail-unsubscriptions.js';
export type { MailUnsubscribeOptions } from './nest/unsubscribe/options.js';
export type { UnsubscribeTexts } from './nest/unsubscribe/page.js';
export type { Resubscription, Unsubscription, UnsubscriptionWay } from './nest/unsubscribe/unsubscription.js';
export { CollectMail, type CollectMailOptions } from './nest/collect-mail.js';
export type { OnCollectError } from './nest/options/collect.js';
export type { AttachmentsConfig, S3StoreConfig } from './nest/options/attachments.js';
export type { AttachmentStore, StoredBlob } from './attachments/attachment-store.js';
export type { S3Credentials } from './attachments/s3-options.js';
export type { CollectedReceipt } from './nest/collection.js';
export { OnMail, type MailEventOrigin, type OnMailOptions } from './nest/on-mail.js';
export type {
  AboutMessage,
  BatchCompletedEvent,
  CampaignCompletedEvent,
  CampaignQueuedEvent,
  CampaignSuspendedEvent,
  CancelledEvent,
  CollectionDiscardedEvent,
  CollectionFlushedEvent,
  DeferredEvent,
  ExpiredEvent,
  FailedEvent,
  FeedbackEvent,
  FeedbackRefusedEvent,
  MailEventName,
  MailEvents,
  QueuedEvent,
  RenderedFrom,
  SentEvent,
  TransportDownEvent,
  TransportUpEvent,
} from './events/events.js';
export type { StatsOptions } from './nest/stats-range.js';
export type {
  CollectConfig,
  EncryptionKeyConfig,
  MailModuleExtras,
  MailModuleOptions,
  MailOptionsFactory,
  MetricsConfig,
  QueueConfig,
  SmtpTransportConfig,
  TemplatesConfig,
  TenantTransportConfig,
  TransportConfig,
} from './nest/options/types.js';
export type { SuppressionConfig } from './nest/options/suppression.js';
export type { BouncesConfig } from './nest/options/bounces.js';
export type { FeedbackConfig } from './nest/options/feedback.js';
export type { DkimConfig, DkimKeyConfig, DkimKeysConfig, DkimSignatureConfig } from './nest/options/dkim.js';
export type { ForeignTransportConfig } from './nest/options/foreign-config.js';
export type { MetricsRegister } from './nest/options/metrics.js';
export type { RateLimitConfig } from './nest/options/rate-limit.js';
export type { SesConfig, SesTransportConfig } from './nest/options/ses.js';
export type { CommonProbeConfig, HttpProbeConfig, ProbeConfig, SmtpProbeConfig } from './nest/options/probe-config.js';
export type { UnsubscribeConfig } from './nest/options/unsubscribe.js';
export type { TracerProviderLike } from './nest/options/tracing.js';

export {
  MailConfigError,
  MailDeliveryError,
  MailError,
  MailQueueUnavailableError,
  MailValidationError,
  type DeliveryAttempt,
  type Fault,
  type Outcome,
  type Phase,
} from './errors.js';

export type { Address, AddressInput, AddressesInput } from './message/address.js';
export type { Classified, Classifier } from './message/classify.js';
export { AttachmentDto, BulkMailDto, MailContentDto, MailMessageDto, RecipientDto } from './message/dto.js';
export type { Duration } from './message/duration.js';
export { DEFAULT_LIMITS, type Limits } from './message/limits.js';
export { markedBulk, type BulkMarkers } from './message/marked-bulk.js';
export type {
  Attachment,
  AttachmentInput,
  BulkMailInput,
  Lane,
  MailContentInput,
  Message,
  MailMessageInput,
  RecipientInput,
  Source,
  Urgency,
} from './message/message.js';
export type { UnsubscribeInput, UnsubscribeWays } from './message/unsubscribe.js';

export type { Encoded } from './mime/encoded.js';

export type { UnsubscribeClaims, UnsubscribeToken } from './feedback/unsubscribe-token.js';
export type { CsvSource } from './feedback/suppression-csv.js';
export {
  type PrioritySuppression,
  type SuppressedMail,
  type Suppression,
  type SuppressionFilter,
  type SuppressionList,
  type SuppressionReason,
  type SuppressionScope,
} from './feedback/suppression.js';

export type { InterceptedAttachment, InterceptedMail, MailChanges } from './delivery/intercepted-mail.js';
export { InterceptorError, Veto } from './delivery/interception.js';
export type { Interceptor } from './delivery/interceptors.js';
export type { SentReceipt } from './delivery/priority.js';
export { redirectTo, type RedirectOptions } from './delivery/redirect.js';
export type { QueuedReceipt } from './queue/producer.js';
export type { CampaignReceipt, RejectedRecipient } from './queue/queueing.js';
export type { CleanOptions } from './queue/control.js';
export type { BoundBy } from './queue/bottleneck.js';
export type { WorkerProcess, WorkersReport } from './queue/presence.js';
export type { CampaignReport, QueueReport } from './queue/reader.js';
export type { RunReport } from './queue/run.js';
export type { MailReading } from './queue/feedback/mail-reports.js';
export type { FeedbackReceipt } from './queue/feedback/intake.js';
export type { FeedbackCounts, RecipientFeedback, RecipientReport } from './queue/feedback/reports.js';
export type { FeedbackStats } from './queue/feedback/tally.js';
export type { MailStats } from './queue/statistics.js';
export type { MailCounts, TransportStats } from './queue/tally.js';
export type { ShiftReport } from './queue/shift.js';
export type { MailState, MailStatus, RecipientStatus } from './queue/status.js';
export { ReturnPaths, type ReturnedPath } from './feedback/return-path.js';
export { FEEDBACK_TYPES, type Feedback, type FeedbackMatch, type FeedbackType } from './feedback/feedback.js';
export { PostmarkFeedback, type PostmarkFeedbackOptions } from './feedback/providers/postmark.js';
export { ResendFeedback, type ResendFeedbackOptions } from './feedback/providers/resend.js';
export { SendGridFeedback, type SendGridFeedbackOptions } from './feedback/providers/sendgrid.js';
export { SnsSource, type SnsOptions } from './feedback/sns.js';
export { FeedbackRefusal, type FeedbackRequest, type FeedbackSource, type RefusalReason } from './feedback/source.js';
export type { RenderedTemplate, TemplateEngine } from './templates/engine.js';
export { HandlebarsEngine } from './templates/handlebars/engine.js';
export type { HandlebarsOptions, TemplateHelper } from './templates/handlebars/options.js';
export type { StoreConnection } from './store/target.js';
export {
  TransportError,
  type Acceptance,
  type Envelope,
  type FailureKind,
  type FailureScope,
  type Outgoing,
  type OutgoingMail,
  type Rejection,
  type SendOptions,
  type Transport,
  type TransportErrorOptions,
  type TransportMonitor,
} from './transport/transport.js';
export type { ProviderAnswer } from './transport/classify.js';
export { providerError, type ProviderFailureExtra } from './transport/provider-failure.js';
export type { Probe, ServerLoad } from './transport/probe.js';
export type { Balance } from './transport/balance.js';
export type { NestMailTransport } from './transport/adapters/nest-mail.js';
export type { NestMailAddress, NestMailAttachment, NestMailMessage } from './transport/adapters/nest-mail-message.js';
export type { NodemailerMail, NodemailerPlugin } from './transport/adapters/nodemailer.js';
export type { WindowState } from './transport/window.js';
export type { SesClient, SesCredentials } from './transport/ses/options.js';
export type { SmtpLogin } from './transport/smtp/login.js';
