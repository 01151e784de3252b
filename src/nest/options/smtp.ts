import { LANES, type Lane } from '../../message/message.js';
import type { SmtpTransportOptions } from '../../transport/smtp/options.js';
import { fail, type OptionReader } from './reader.js';
import { DEFAULTS } from './defaults.js';

const PORTS: Record<string, number> = { 'smtp:': 587, 'smtps:': 465 };

/** One entry of `transports`. @throws MailConfigError */
export function parseSmtp(reader: OptionReader): SmtpTransportOptions {
  const name = reader.string('name') ?? fail(reader.pathOf('name'), undefined, 'Give it a name.');
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
  if (url.username !== '' && url.password === '') fail(reader.pathOf('url'), given, 'Give a password with the user.');
  const { transport: defaults } = DEFAULTS;
  const region = reader.string('region');
  const tls = reader.raw('tls');
  if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
    fail(reader.pathOf('tls'), tls, "Give Node's TLS options, such as { ca }.");
  }
  const options: SmtpTransportOptions = {
    name,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? port : Number(url.port),
    secure: url.protocol === 'smtps:',
    lanes: parseLanes(reader),
    maxConnections: reader.integer('maxConnections', defaults.maxConnections, 1, 1_000),
    maxMessages: reader.integer('maxMessages', defaults.maxMessages, 1, 1_000_000),
    idleTimeout: reader.duration('idleTimeout', defaults.idleTimeout),
    connectTimeout: reader.duration('connectTimeout', defaults.connectTimeout, 1),
    socketTimeout: reader.duration('socketTimeout', defaults.socketTimeout, 1),
    ...(region === undefined ? {} : { region }),
    ...(url.username === '' ? {} : { auth: { user: decode(url.username), pass: decode(url.password) } }),
    ...(tls === undefined ? {} : { tls }),
  };
  reader.end();
  return options;
}

function parseLanes(reader: OptionReader): readonly Lane[] {
  const value = reader.raw('lanes');
  if (value === undefined) return LANES;
  if (Array.isArray(value) && value.length > 0 && value.every((lane) => LANES.includes(lane as Lane))) {
    return value as Lane[];
  }
  return fail(reader.pathOf('lanes'), value, "Give a list of 'priority' and 'bulk'.");
}

/** Credentials are percent-encoded in a URL; one that is not stays as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
