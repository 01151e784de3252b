import { HANDLEBARS_DEFAULTS } from '../../templates/handlebars/options.js';

/** The default of every option, in one place. Times are milliseconds. */
export const DEFAULTS = {
  defaultLane: 'priority',
  balance: 'least-loaded',
  shutdownTimeout: 15_000,
  idempotencyTtl: 24 * 3_600_000,
  attachments: { store: { forcePathStyle: false }, expireAfter: 7 * 24 * 3_600_000, readTimeout: 60_000 },
  templates: { preload: false, ...HANDLEBARS_DEFAULTS },
  collect: { requests: false, max: 10_000, maxBytes: 16 * 1024 * 1024, onError: 'discard' },
  priority: { timeout: 10_000, overflow: 'throw', retryUnknown: false },
  suppression: { priority: 'ignore' },
  transport: {
    weight: 1,
    maxConnections: 5,
    minWarm: 1,
    keepAlive: 20_000,
    idleTimeout: 60_000,
    // Postfix hangs up on clients after some hundred commands that are none of a message's.
    maxAge: 15 * 60_000,
    maxMessages: 1_000,
    connectTimeout: 10_000,
    greetingTimeout: 10_000,
    commandTimeout: 30_000,
    bodyTimeout: 5 * 60_000,
    ses: { timeout: 60_000 },
    probe: {
      every: 5_000,
      timeout: 5_000,
      onProbeFailure: 'wait',
      maxLatency: 3_000,
      maxLoad: 2,
      minFreeMemory: 5,
      minFreeDisk: 10,
    },
  },
  batch: { size: 250, maxBytes: 256 * 1024, maxDuration: 10_000 },
  worker: { autorun: true, batches: 4, lockDuration: 10_000 },
  retry: { attempts: 5, maxAge: 24 * 3_600_000, firstPause: 60_000, maxPause: 3_600_000, greylistPause: 5 * 60_000 },
  metrics: { prefix: '' },
  feedback: {
    remember: 7 * 24 * 3_600_000,
    suppress: { bounces: 'all', complaints: 'bulk', unsubscribes: true, rejections: false },
  },
  unsubscribe: { expiresAfter: 365 * 24 * 3_600_000 },
  waitForCapacity: 15 * 60_000,
  keep: { sent: 24 * 3_600_000, failed: 30 * 24 * 3_600_000 },
} as const;
