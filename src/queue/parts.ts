import type { AttachmentStore } from '../attachments/attachment-store.js';
import { AttachmentSweep } from '../attachments/attachment-sweep.js';
import { Attachments } from '../attachments/attachments.js';
import type { Preparation } from '../delivery/preparation.js';
import type { MailEmitter } from '../events/emitter.js';
import type { Tracer } from '../events/tracer.js';
import { RecordedSuppressions } from '../feedback/recorded-suppressions.js';
import type { SuppressionList } from '../feedback/suppression.js';
import type { Store } from '../store/store.js';
import type { Routes } from '../transport/route.js';
import type { Backend } from './backend.js';
import { BatchFormat } from './batch-format.js';
import { Blobs } from './blobs.js';
import { CampaignProducer } from './campaign-producer.js';
import { Completions } from './completions.js';
import { Control } from './control.js';
import { EventBus } from './event-bus.js';
import { EventLoopShare } from './event-loop-share.js';
import { FeedbackIntake } from './feedback/intake.js';
import { MailLookup } from './feedback/mail-lookup.js';
import { MailReports } from './feedback/mail-reports.js';
import { Refusals } from './feedback/refusals.js';
import { Flusher } from './flush.js';
import { Presence } from './presence.js';
import { Producer } from './producer.js';
import { QueueSuppressions } from './queue-suppressions.js';
import { Reader } from './reader.js';
import { RECORD_KEPT_FOR, Retention } from './retention.js';
import type { MailQueueSettings } from './settings.js';
import type { Shift } from './shift.js';
import { Statistics } from './statistics.js';
import { StoreAccess } from './store-access.js';
import { Checkpoints } from './store-ledger.js';
import { Supplier } from './supplies.js';
import { SuppressionGate } from './suppression-gate.js';
import { Suspension } from './suspension.js';
import { Sweep } from './sweep.js';
import { QueueTraces } from './traces.js';
import { BatchWorker } from './worker.js';

/** What the bulk lane stands on. */
export interface QueueGround {
  store: Store;
  backend: Backend;
  /** Undefined where none is named: nothing with an attachment can be queued. */
  attachments?: AttachmentStore | undefined;
  /** By which scheduled mail and next attempts are due. Default `Date.now`. */
  now?: () => number;
}

/** What of a mailer the bulk lane has to do with. */
export interface QueueSurroundings {
  routes: Routes;
  events: MailEmitter;
  preparation: Preparation;
  /** Told what nobody waits for. */
  onError: (error: Error) => void;
  /** Default: nothing is traced. */
  tracer?: Tracer;
}

/** Everything that the bulk lane is made of. */
export interface QueueParts {
  readonly access: StoreAccess;
  readonly attachments: Attachments;
  readonly flusher: Flusher;
  readonly producer: Producer;
  readonly campaigns: CampaignProducer;
  readonly reader: Reader;
  readonly control: Control;
  readonly retention: Retention;
  readonly sweep: Sweep;
  readonly statistics: Statistics;
  readonly suppressions: SuppressionList;
  readonly feedback: FeedbackIntake;
  readonly mailReports: MailReports;
  readonly completions: Completions;
  readonly presence: Presence;
  /** Undefined where no other process can be at the queue. */
  readonly bus: EventBus | undefined;
  /** @param shift without one it works until it is stopped */
  createWorker(shift?: Shift): BatchWorker;
}

/** Makes the parts and starts none of them. */
export function createParts(
  settings: MailQueueSettings,
  { store, backend, attachments: attachmentStore, now = Date.now }: QueueGround,
  { routes, events, preparation, onError, tracer }: QueueSurroundings,
): QueueParts {
  const { name, batch, keep, limits, retry, sealer, suppression, worker, returnPaths } = settings;
  const { expireAfter, adopt } = settings.attachments;
  const { records } = store;
  const { queue } = backend;
  const traces = new QueueTraces(name, tracer);
  const loop = new EventLoopShare();
  const statistics = new Statistics(store, onError);

  const leased = { expireAfter, neededFor: retry.maxAge + keep.failed, ...(adopt ? { adopt } : {}) };
  const attachments = new Attachments(attachmentStore, records, sealer, leased, onError);
  const blobs = new Blobs(attachments);
  // What is in memory anyway need not go anywhere else.
  const format = new BatchFormat(sealer, store.kind === 'memory' ? undefined : attachments);
  const flusher = new Flusher(name, store, backend, format, attachments, statistics, traces);
  const access = new StoreAccess(store, flusher);
  const producer = new Producer(flusher, blobs, batch, events);
  const campaigns = new CampaignProducer(flusher, backend, records, format, blobs, { ...batch, limits, loop }, onError);

  const reader = new Reader(backend, records, format, sealer);
  const retention = new Retention(queue, records, reader, keep);
  const blobSweep = attachmentStore && new AttachmentSweep(attachmentStore, attachments, records, expireAfter);
  const sweep = new Sweep(records, retention, keep, reader, blobSweep, onError);

  const kept = { message: Math.max(keep.sent, keep.failed), campaign: RECORD_KEPT_FOR };
  const recorded = new RecordedSuppressions(records, sealer);
  const suppressions = suppression.list ?? new QueueSuppressions(access, recorded);
  const mails = new MailLookup(queue, records, format, sealer);
  const taking = { records, mails, suppressions, events, statistics, sealer };
  const feedback = new FeedbackIntake(taking, settings.feedback, kept);

  const checkpoints = new Checkpoints(records, onError, settings.feedback.providerIds ? kept.message : undefined);
  const suspension = new Suspension(records, events, settings.waitForCapacity);
  const completions = new Completions(records, reader, events, onError);
  const working = { backend, store, checkpoints, suspension, events, statistics, completions, format };
  const { rejections } = settings.feedback.suppress;
  const supplier = new Supplier(blobs, routes, preparation);
  const delivery = {
    supplier,
    gate: new SuppressionGate(recorded, suppression),
    ...(rejections === false ? {} : { refusals: new Refusals(suppressions, rejections, onError) }),
    routes,
  };
  const senders = returnPaths ? { senders: returnPaths } : {};
  const workerSettings = { ...worker, maxDuration: batch.maxDuration, retry, ...senders, now };
  return {
    access,
    attachments,
    flusher,
    producer,
    campaigns,
    reader,
    control: new Control(queue, records, reader, retention, checkpoints, supplier),
    retention,
    sweep,
    statistics,
    suppressions,
    feedback,
    mailReports: new MailReports(feedback, mails, returnPaths),
    completions,
    presence: new Presence(records, store.opened),
    bus: backend.eventLine && new EventBus(backend.eventLine, records, sealer, events, onError),
    createWorker: (shift) => new BatchWorker({ ...working, ...delivery, loop, traces, onError }, workerSettings, shift),
  };
}
