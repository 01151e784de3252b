import type { Duration } from '../../message/duration.js';
import { LANES, type Lane } from '../../message/message.js';
import { CAMPAIGN_TAG, ID_TAG, TAG_TEXT } from '../../message/tags.js';
import type { HttpProbeSettings } from '../../transport/probes/open.js';
import type { RateLimitSettings } from '../../transport/rate-limit.js';
import type { SesClient, SesCredentials, SesTransportOptions } from '../../transport/ses/options.js';
import { isLoopback } from '../../transport/smtp/options.js';
import { DEFAULTS } from './defaults.js';
import { parseDkim, type DkimConfig } from './dkim.js';
import { parseLanes } from './lanes.js';
import { parseHttpProbe } from './probe.js';
import type { HttpProbeConfig } from './probe-config.js';
import { parseRateLimit, type RateLimitConfig } from './rate-limit.js';
import { fail, failUnseen, type OptionReader } from './reader.js';

/** Amazon SES by its API. Needs `@aws-sdk/client-sesv2`. */
export interface SesTransportConfig {
  /** How messages, receipts and logs name it. */
  name: string;
  /** The account. */
  ses: SesConfig;
  /** Where it is. Transports of the module's own `region` are tried first. Default: `ses.region`. */
  region?: string;
  /** The lanes that may use it. Default: both. */
  lanes?: readonly Lane[];
  /** Its share of the bulk mail with `balance: 'weighted'`, beside the weights of the others. Default 1. */
  weight?: number;
  /** Requests at once, per lane and process. Default 5. */
  maxConnections?: number;
  /** DNS, TCP and TLS together. Default `'10s'`. */
  connectTimeout?: Duration;
  /**
   * `'account'` keeps to the account's `MaxSendRate` as long as the credentials may ask for it (`ses:GetAccount`); false leaves it
   * to SES to refuse what is too fast. Default `'account'`.
   */
  rateLimit?: 'account' | false | RateLimitConfig;
  /** A status page that tells whether bulk mail may come. Default: it always may. */
  probe?: HttpProbeConfig;
  /** Signs every message, beside what SES signs itself; never Date and Message-ID, which SES replaces. Default: no signature. */
  dkim?: DkimConfig;
}

/** An account of Amazon SES in one region. */
export interface SesConfig {
  /** Such as `eu-west-1`. Default: what the AWS SDK finds, such as `AWS_REGION`. */
  region?: string;
  /** The configuration set of every message. Default: that of the sender's identity, if it has one. */
  configurationSet?: string;
  /** Tags of every message, for its events: letters, digits, `_` and `-`. Default: none but the mail's and the campaign's id. */
  tags?: Readonly<Record<string, string>>;
  /** `https://…` of a VPC endpoint; a stub on this machine may have `http:`. Default: the region's own. */
  endpoint?: string;
  /** An access key, or a function that gives one. Default: the AWS SDK's chain: environment, profile, role. */
  credentials?: SesCredentials | (() => Promise<SesCredentials>);
  /** An `SESv2Client` of your own with `maxAttempts: 1`, in place of `region`, `endpoint`, `credentials` and time-outs. It is not closed. */
  client?: SesClient;
  /** Silence of SES from the first byte of a request to the end of its answer. Default `'1m'`. */
  timeout?: Duration;
}

/** An account of SES with its limits, checked. */
export interface SesSettings {
  ses: SesTransportOptions;
  rateLimit?: RateLimitSettings;
  probe?: HttpProbeSettings;
  weight: number;
}

/** SES writes its own into every message. */
const REPLACED = ['date', 'message-id'];
const REGION = /^[a-z]{2,}(-[a-z]+)+-\d+$/;

/** It is one for {@link parseSes}. */
export function isSes(entry: unknown): boolean {
  return typeof entry === 'object' && entry !== null && 'ses' in entry;
}

/**
 * One entry of `transports` with `ses`, or what `resolveTransport` gave.
 *
 * @param tenant the name that was looked up
 * @throws MailConfigError
 */
export function parseSes(reader: OptionReader, tenant?: string): SesSettings {
  const name = tenant ?? reader.string('name') ?? fail(reader.pathOf('name'), undefined, 'Give it a name.');
  const { transport: defaults } = DEFAULTS;
  const account = parseAccount(reader.section('ses'));
  const region = reader.string('region') ?? account.awsRegion;
  const limit = reader.raw('rateLimit') ?? 'account';
  if (typeof limit === 'string' && limit !== 'account') {
    fail(reader.pathOf('rateLimit'), limit, "Give 'account', false, or { messages, per }.");
  }
  const rateLimit = limit === 'account' || limit === false ? undefined : parseRateLimit(reader);
  const dkim = parseDkim(reader, REPLACED);
  const ses: SesTransportOptions = {
    name,
    lanes: tenant === undefined ? parseLanes(reader) : LANES,
    maxConnections: reader.integer('maxConnections', defaults.maxConnections, 1, 1_000),
    connectTimeout: reader.duration('connectTimeout', defaults.connectTimeout, 1),
    followsRate: limit === 'account',
    ...account,
    ...(region === undefined ? {} : { region }),
    ...(dkim === undefined ? {} : { dkim }),
  };
  const weight = tenant === undefined ? reader.integer('weight', defaults.weight, 1, 1_000) : defaults.weight;
  const probe = parseHttpProbe(reader, 'SES');
  reader.end();
  return { ses, weight, ...(rateLimit ? { rateLimit } : {}), ...(probe ? { probe } : {}) };
}

type Account = Pick<
  SesTransportOptions,
  'awsRegion' | 'endpoint' | 'credentials' | 'client' | 'configurationSet' | 'tags' | 'timeout'
>;

function parseAccount(reader: OptionReader): Account {
  const region = reader.string('region');
  if (region !== undefined && !REGION.test(region)) {
    fail(reader.pathOf('region'), region, 'Give the name of an AWS region, such as eu-west-1.');
  }
  const configurationSet = reader.string('configurationSet');
  if (configurationSet !== undefined && !/^[\w-]{1,64}$/.test(configurationSet)) {
    fail(reader.pathOf('configurationSet'), configurationSet, 'Give its name: up to 64 letters, digits, _ and -.');
  }
  const endpoint = parseEndpoint(reader);
  const credentials = parseCredentials(reader);
  const client = parseClient(reader);
  const account: Account = {
    timeout: reader.duration('timeout', DEFAULTS.transport.ses.timeout, 1),
    tags: parseTags(reader),
    ...(region === undefined ? {} : { awsRegion: region }),
    ...(configurationSet === undefined ? {} : { configurationSet }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(client === undefined ? {} : { client }),
  };
  reader.end();
  return account;
}

function parseClient(reader: OptionReader): SesClient | undefined {
  const given = reader.raw('client') as SesClient | undefined;
  if (given === undefined || typeof given?.send === 'function') return given;
  return fail(reader.pathOf('client'), given, 'Give an SESv2Client of @aws-sdk/client-sesv2.');
}

function parseEndpoint(reader: OptionReader): string | undefined {
  const given = reader.string('endpoint');
  if (given === undefined) return undefined;
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const plain = url?.protocol === 'http:' && isLoopback(url.hostname);
  if (
    !url ||
    !(plain || url.protocol === 'https:') ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== ''
  ) {
    fail(
      reader.pathOf('endpoint'),
      given,
      'Give https://host, without credentials; http: leads to this machine alone.',
    );
  }
  return given;
}

function parseCredentials(reader: OptionReader): SesTransportOptions['credentials'] {
  const given = reader.raw('credentials');
  if (given === undefined || typeof given === 'function') return given as SesTransportOptions['credentials'];
  const path = reader.pathOf('credentials');
  const remedy = 'Give { accessKeyId, secretAccessKey }, or a function that gives one.';
  if (typeof given !== 'object' || given === null) failUnseen(path, given, remedy);
  const key = given as Partial<SesCredentials>;
  for (const name of ['accessKeyId', 'secretAccessKey'] as const) {
    if (typeof key[name] !== 'string' || key[name] === '') failUnseen(`${path}.${name}`, key[name], remedy);
  }
  return given as SesCredentials;
}

function parseTags(reader: OptionReader): Record<string, string> {
  const path = reader.pathOf('tags');
  const given = reader.raw('tags') ?? {};
  if (typeof given !== 'object' || Array.isArray(given)) fail(path, given, "Give an object, such as { app: 'shop' }.");
  for (const [name, value] of Object.entries(given)) {
    if (!TAG_TEXT.test(name) || typeof value !== 'string' || !TAG_TEXT.test(value)) {
      fail(`${path}.${name}`, value, 'SES takes up to 256 letters, digits, _ and - as name and value of a tag.');
    }
    if (name === ID_TAG || name === CAMPAIGN_TAG) fail(`${path}.${name}`, value, 'This tag is set for every mail.');
  }
  return given as Record<string, string>;
}
