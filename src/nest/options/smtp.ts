import { LANES } from '../../message/message.js';
import type { ProbeSettings } from '../../transport/probes/open.js';
import type { RateLimitSettings } from '../../transport/rate-limit.js';
import type { SmtpTransportOptions } from '../../transport/smtp/options.js';
import { DEFAULTS } from './defaults.js';
import { parseDkim } from './dkim.js';
import { parseLanes } from './lanes.js';
import { parseLogin } from './login.js';
import { parseProbe } from './probe.js';
import { parseRateLimit } from './rate-limit.js';
import { fail, type OptionReader } from './reader.js';

const PORTS: Record<string, number> = { 'smtp:': 587, 'smtps:': 465 };

/** An SMTP provider with its limits, checked. */
export interface SmtpSettings {
  smtp: SmtpTransportOptions;
  rateLimit?: RateLimitSettings;
  maxTotalConnections?: number;
  probe?: ProbeSettings;
  weight: number;
}

/**
 * One entry of `transports`, or what `resolveTransport` gave.
 *
 * @param tenant the name that was looked up
 * @throws MailConfigError
 */
export function parseSmtp(reader: OptionReader, tenant?: string): SmtpSettings {
  const name = tenant ?? reader.string('name') ?? fail(reader.pathOf('name'), undefined, 'Give it a name.');
  const { url, port } = parseUrl(reader);
  const { transport: defaults } = DEFAULTS;
  const region = reader.string('region');
  const lanes = tenant === undefined ? parseLanes(reader) : LANES;
  const tls = reader.raw('tls');
  if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
    fail(reader.pathOf('tls'), tls, "Give Node's TLS options, such as { ca }.");
  }
  const auth = parseLogin(reader, url);
  const dkim = parseDkim(reader);
  const maxConnections = reader.integer('maxConnections', defaults.maxConnections, 1, 1_000);
  const warm = lanes.includes('priority') && tenant === undefined ? defaults.minWarm : 0;
  const smtp: SmtpTransportOptions = {
    name,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    secure: url.protocol === 'smtps:',
    lanes,
    maxConnections,
    minWarm: reader.integer('minWarm', warm, 0, maxConnections),
    keepAlive: reader.duration('keepAlive', defaults.keepAlive),
    idleTimeout: reader.duration('idleTimeout', defaults.idleTimeout),
    maxAge: reader.duration('maxAge', defaults.maxAge, 1_000),
    maxMessages: reader.integer('maxMessages', defaults.maxMessages, 1, 1_000_000),
    connectTimeout: reader.duration('connectTimeout', defaults.connectTimeout, 1),
    greetingTimeout: reader.duration('greetingTimeout', defaults.greetingTimeout, 1),
    commandTimeout: reader.duration('commandTimeout', defaults.commandTimeout, 1),
    bodyTimeout: reader.duration('bodyTimeout', defaults.bodyTimeout, 1),
    ...(region === undefined ? {} : { region }),
    ...(auth === undefined ? {} : { auth }),
    ...(dkim === undefined ? {} : { dkim }),
    ...(tls === undefined ? {} : { tls }),
  };
  const weight = tenant === undefined ? reader.integer('weight', defaults.weight, 1, 1_000) : defaults.weight;
  const rateLimit = parseRateLimit(reader);
  const maxTotalConnections = reader.integer('maxTotalConnections', 0, 1, 10_000);
  const probe = parseProbe(reader);
  reader.end();
  return {
    smtp,
    weight,
    ...(rateLimit ? { rateLimit } : {}),
    ...(maxTotalConnections > 0 ? { maxTotalConnections } : {}),
    ...(probe ? { probe } : {}),
  };
}

function parseUrl(reader: OptionReader): { url: URL; port: number } {
  const given = reader.string('url');
  const url = given !== undefined && URL.canParse(given) ? new URL(given) : undefined;
  const port = url && PORTS[url.protocol];
  if (!url || port === undefined || url.hostname === '') {
    fail(reader.pathOf('url'), given, 'Give smtp://user:password@host:587 or smtps://user:password@host.');
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
    fail(
      reader.pathOf('url'),
      given,
      'Give no path or query; in a user or password write / as %2F, ? as %3F and # as %23.',
    );
  }
  return { url, port: url.port === '' ? port : Number(url.port) };
}
