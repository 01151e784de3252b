import type { Interceptor } from '../../delivery/interceptors.js';
import { MailConfigError } from '../../errors.js';
import type { SuppressionSettings } from '../../feedback/suppression.js';
import { parseAddresses, type Address } from '../../message/address.js';
import type { Classifier } from '../../message/classify.js';
import { DEFAULT_LIMITS, type Limits } from '../../message/limits.js';
import { LANES, type Lane } from '../../message/message.js';
import type { MessageRules } from '../../message/parse.js';
import type { ReturnPaths } from '../../feedback/return-path.js';
import type { AttachmentSettings, MailQueueSettings } from '../../queue/settings.js';
import { defaultConnection, parseTarget } from '../../store/target.js';
import { BALANCES, type Balance } from '../../transport/balance.js';
import type { Transport } from '../../transport/transport.js';
import { isNodemailer } from '../../transport/adapters/nodemailer.js';
import { fail, OptionReader } from './reader.js';
import { besideQueue, parseAttachments } from './attachments.js';
import { parseCollect, type CollectSettings } from './collect.js';
import { DEFAULTS } from './defaults.js';
import { parseEncryption } from './encryption.js';
import { parseBounces } from './bounces.js';
import { parseFeedbackOptions } from './feedback.js';
import { isForeign, parseForeign, type ForeignTransportSettings } from './foreign.js';
import { parseMetrics, type MetricsSettings } from './metrics.js';
import { isSes, parseSes, type SesSettings } from './ses.js';
import { parseSmtp, type SmtpSettings } from './smtp.js';
import { parseSuppression } from './suppression.js';
import { parseTemplates, type TemplateSettings } from './templates.js';
import { parseTracing, type TracerProviderLike } from './tracing.js';
import type { MailModuleOptions } from './types.js';
import type { UnsubscribeMeans } from '../unsubscribe/unsubscription.js';
import { parseUnsubscribe } from './unsubscribe.js';

/** A transport to be made: of a provider, around somebody else's, or the application's own. */
export type TransportSettings =
  SmtpSettings | SesSettings | ForeignTransportSettings | { custom: Transport; lent: boolean };

/** The priority lane's settings, checked. Times are milliseconds. */
export interface PrioritySettings {
  timeout: number;
  overflow: 'throw' | 'queue';
  retryUnknown: boolean;
}

/** The module's options, checked and complete. */
export interface MailSettings {
  region?: string;
  transports: TransportSettings[];
  balance: Balance;
  resolveTransport?: NonNullable<MailModuleOptions['resolveTransport']>;
  queue: MailQueueSettings | false;
  rules: MessageRules;
  /** What mails' envelope senders are. Undefined: the address in From. */
  returnPaths?: ReturnPaths;
  templates?: TemplateSettings;
  unsubscribe?: UnsubscribeMeans;
  priority: PrioritySettings;
  collect: CollectSettings;
  suppression: SuppressionSettings;
  /** Milliseconds. */
  idempotencyTtl: number;
  defaultLane: Lane;
  classify: readonly Classifier[];
  intercept: readonly Interceptor[];
  shutdownTimeout: number;
  metrics?: MetricsSettings;
  tracing?: true | TracerProviderLike;
}

/** What the host application's own `BullModule.forRoot` says. */
export interface HostQueueConfig {
  connection?: unknown;
}

/** @throws MailConfigError with the option's path, its value and the remedy */
export function parseOptions(options: MailModuleOptions, queueName: string, host?: HostQueueConfig): MailSettings {
  const reader = new OptionReader(options, '');
  const shutdownTimeout = reader.duration('shutdownTimeout', DEFAULTS.shutdownTimeout);
  const limits = parseLimits(reader.section('limits'));
  const from = parseFrom(reader.raw('from'));
  const region = reader.string('region');
  const { stored, ...reading } = parseAttachments(reader);
  const hasQueue = reader.raw('queue') !== false;
  const priority = parsePriority(reader.section('priority'), hasQueue);
  const collect = parseCollect(reader, hasQueue);
  const idempotencyTtl = reader.duration('idempotencyTtl', DEFAULTS.idempotencyTtl, 1_000, Infinity);
  const resolveTransport = reader.raw('resolveTransport');
  if (resolveTransport !== undefined && typeof resolveTransport !== 'function') {
    fail('resolveTransport', resolveTransport, 'Give a function that takes a name and returns a transport.');
  }
  const transports = parseTransports(reader.raw('transports'));
  const balance = reader.oneOf('balance', BALANCES, DEFAULTS.balance);
  const suppression = parseSuppression(reader);
  const feedback = parseFeedbackOptions(reader, hasQueue);
  const returnPaths = parseBounces(reader);
  const bounces = returnPaths ? { returnPaths } : {};
  const given = { limits, lockTimeout: shutdownTimeout, suppression, feedback, ...bounces };
  const queue = parseQueue(reader, queueName, given, host, stored);
  const templates = parseTemplates(reader);
  const unsubscribe = parseUnsubscribe(reader);
  const defaultLane = reader.oneOf('defaultLane', LANES, DEFAULTS.defaultLane);
  const classify = reader.functions<Classifier>(
    'classify',
    'Give a function that takes a message and returns a lane, or a list.',
  );
  const intercept = reader.functions<Interceptor>('intercept', 'Give a function that takes a mail, or a list of them.');
  const metrics = parseMetrics(reader);
  const tracing = parseTracing(reader);
  reader.end();
  checkLanes(transports, queue !== false, defaultLane);
  return {
    transports,
    balance,
    queue,
    priority,
    collect,
    suppression,
    idempotencyTtl,
    defaultLane,
    classify,
    intercept,
    shutdownTimeout,
    rules: {
      limits,
      attachments: reading,
      ...(from ? { from } : {}),
      ...(unsubscribe ? { unsubscribe: unsubscribe.ways } : {}),
    },
    ...(returnPaths ? { returnPaths } : {}),
    ...(templates ? { templates } : {}),
    ...(unsubscribe ? { unsubscribe } : {}),
    ...(region === undefined ? {} : { region }),
    ...(metrics === undefined ? {} : { metrics }),
    ...(tracing === undefined ? {} : { tracing }),
    ...(resolveTransport === undefined
      ? {}
      : { resolveTransport: resolveTransport as NonNullable<MailSettings['resolveTransport']> }),
  };
}

function parsePriority(reader: OptionReader, hasQueue: boolean): PrioritySettings {
  const { priority: defaults } = DEFAULTS;
  const settings: PrioritySettings = {
    timeout: reader.duration('timeout', defaults.timeout, 1),
    overflow: reader.oneOf('overflow', ['throw', 'queue'], defaults.overflow),
    retryUnknown: reader.boolean('retryUnknown', defaults.retryUnknown),
  };
  if (settings.overflow === 'queue' && !hasQueue) {
    fail(reader.pathOf('overflow'), 'queue', "There is no queue with queue: false; give 'throw'.");
  }
  reader.end();
  return settings;
}

function parseFrom(value: unknown): Address | undefined {
  const { addresses, faults } = parseAddresses(value, 'from');
  if (faults.length > 0 || addresses.length > 1) {
    fail('from', value, "Give one address, such as 'Shop <no-reply@shop.example>'.");
  }
  return addresses[0];
}

function parseLimits(reader: OptionReader): Limits {
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(limits) as (keyof Limits)[]) {
    limits[name] = reader.integer(name, limits[name], 0, 1024 ** 3);
  }
  reader.end();
  return limits;
}

function parseTransports(value: unknown): TransportSettings[] {
  if (!Array.isArray(value) || value.length === 0) {
    fail('transports', value, "Give at least one, such as { name: 'main', url: 'smtp://localhost:1025' }.");
  }
  const transports = value.map((entry: unknown, index) => parseTransport(entry, `transports[${index}]`));
  const names = transports.map((transport) => partsOf(transport).name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    fail(`transports[${names.lastIndexOf(twice)}].name`, twice, 'Give each transport a name of its own.');
  return transports;
}

function parseTransport(entry: unknown, path: string, tenant?: string): TransportSettings {
  if (isTransport(entry)) return { custom: checkTransport(entry, path), lent: tenant !== undefined };
  if (isForeign(entry)) return parseForeign(entry, path, tenant);
  const reader = new OptionReader(entry, path);
  return isSes(entry) ? parseSes(reader, tenant) : parseSmtp(reader, tenant);
}

/** What `resolveTransport` gave for a name. @throws MailConfigError */
export function parseTenant(name: string, entry: unknown): TransportSettings {
  return parseTransport(entry, `resolveTransport(${JSON.stringify(name)})`, name);
}

/** What all transports have, however they are made. */
export function partsOf(transport: TransportSettings): Pick<Transport, 'name' | 'region' | 'lanes' | 'maxConnections'> {
  if ('custom' in transport) return transport.custom;
  if ('foreign' in transport) return transport.foreign;
  return 'ses' in transport ? transport.ses : transport.smtp;
}

function isTransport(entry: unknown): entry is Transport {
  return (
    typeof entry === 'object' &&
    entry !== null &&
    (isNodemailer(entry) || typeof (entry as Partial<Transport>).send === 'function')
  );
}

/** An application's own transport: what is missing would show at the first mail. */
function checkTransport(transport: Transport, path: string): Transport {
  const { name, lanes, maxConnections, weight = 1 } = transport as Partial<Transport>;
  if (lanes === undefined) {
    fail(
      path,
      transport,
      "Give one of @nestjs/mail or nodemailer in an object, { name: 'main', transport: … }. One of your own has lanes.",
    );
  }
  if (typeof name !== 'string' || name === '') fail(`${path}.name`, name, 'Give it a name.');
  if (!Array.isArray(lanes) || !lanes.every((lane) => LANES.includes(lane as Lane))) {
    fail(`${path}.lanes`, lanes, "Give a list of 'priority' and 'bulk'.");
  }
  if (!Number.isInteger(maxConnections) || maxConnections! < 1) {
    fail(`${path}.maxConnections`, maxConnections, 'Give the messages it takes at once, a whole number from 1.');
  }
  if (!(weight > 0 && weight < Infinity)) fail(`${path}.weight`, weight, 'Give a number above 0.');
  for (const method of ['verify', 'close'] as const) {
    const given = (transport as unknown as Record<string, unknown>)[method];
    if (typeof given !== 'function') fail(`${path}.${method}`, given, 'Give a function.');
  }
  return transport;
}

function parseQueue(
  parent: OptionReader,
  name: string,
  given: Pick<MailQueueSettings, 'limits' | 'lockTimeout' | 'suppression' | 'feedback' | 'returnPaths'>,
  host: HostQueueConfig | undefined,
  attachments: AttachmentSettings,
): MailQueueSettings | false {
  if (parent.raw('queue') === false) return false;
  const reader = parent.section('queue');
  const connection = reader.raw('connection');
  const configKey = reader.string('configKey');
  if (connection === undefined && configKey !== undefined && host?.connection === undefined) {
    fail(
      'queue.configKey',
      configKey,
      `Register that configuration with BullModule.forRoot('${configKey}', { connection }).`,
    );
  }
  const batch = reader.section('batch');
  const retry = reader.section('retry');
  const keep = reader.section('keep');
  const { batch: batches, retry: retries, keep: kept } = DEFAULTS;
  const target = parseTarget(connection ?? host?.connection ?? defaultConnection(name));
  const settings: MailQueueSettings = {
    name,
    target,
    attachments: { ...attachments, target: attachments.target ?? besideQueue(target) },
    ...given,
    batch: {
      size: batch.integer('size', batches.size, 1, 10_000),
      maxBytes: batch.integer('maxBytes', batches.maxBytes, 1_024, 64 * 1024 * 1024),
      maxDuration: batch.duration('maxDuration', batches.maxDuration, 100),
    },
    worker: parseWorker(reader),
    retry: {
      attempts: retry.integer('attempts', retries.attempts, 1, 100),
      maxAge: retry.duration('maxAge', retries.maxAge, 0, Infinity),
      firstPause: retry.duration('firstPause', retries.firstPause),
      maxPause: retry.duration('maxPause', retries.maxPause),
      greylistPause: retry.duration('greylistPause', retries.greylistPause),
    },
    waitForCapacity:
      reader.raw('waitForCapacity') === false
        ? Infinity
        : reader.duration('waitForCapacity', DEFAULTS.waitForCapacity, 0, Infinity),
    keep: {
      sent: keep.duration('sent', kept.sent, 0, Infinity),
      failed: keep.duration('failed', kept.failed, 0, Infinity),
    },
    sealer: parseEncryption(reader),
  };
  for (const section of [batch, retry, keep, reader]) section.end();
  return settings;
}

function parseWorker(parent: OptionReader): MailQueueSettings['worker'] {
  const { worker: defaults } = DEFAULTS;
  if (parent.raw('worker') === false) return { ...defaults, autorun: false };
  const reader = parent.section('worker');
  const worker = {
    autorun: reader.boolean('autorun', defaults.autorun),
    batches: reader.integer('batches', defaults.batches, 1, 100),
    lockDuration: reader.duration('lockDuration', defaults.lockDuration, 1_000),
  };
  reader.end();
  return worker;
}

/** A lane without a way out would fail at the first mail; better now. */
function checkLanes(transports: readonly TransportSettings[], bulk: boolean, defaultLane: Lane): void {
  if (!bulk && defaultLane === 'bulk')
    fail('defaultLane', defaultLane, "There is no bulk lane with queue: false; give 'priority'.");
  for (const lane of bulk ? LANES : (['priority'] as const)) {
    if (transports.some((transport) => partsOf(transport).lanes.includes(lane))) continue;
    throw new MailConfigError(
      `No mail transport serves the ${lane} lane. Add '${lane}' to the \`lanes\` of one of transports` +
        (lane === 'bulk' ? ', or set queue: false.' : '.'),
    );
  }
}
