import type { Admit, HttpProbeSettings, ProbeSettings } from '../../transport/probes/open.js';
import { DEFAULTS } from './defaults.js';
import { fail, failUnseen, OptionReader } from './reader.js';

/**
 * The `probe` of one transport.
 *
 * @throws MailConfigError
 */
export function parseProbe(parent: OptionReader): ProbeSettings | undefined {
  const value = parent.raw('probe');
  if (value === undefined) return undefined;
  const path = parent.pathOf('probe');
  if (typeof value === 'string' && value !== 'smtp') {
    fail(path, value, "Give 'smtp', or an object such as { type: 'http', url, token }.");
  }
  const reader = new OptionReader(value === 'smtp' ? { type: value } : value, path);
  const settings = parseType(reader);
  reader.end();
  return settings;
}

/**
 * The `probe` of a transport that is no SMTP server.
 *
 * @param subject whom no NOOP can be sent to, in the error
 * @throws MailConfigError
 */
export function parseHttpProbe(parent: OptionReader, subject: string): HttpProbeSettings | undefined {
  const probe = parseProbe(parent);
  if (probe?.type !== 'smtp') return probe;
  return fail(parent.pathOf('probe'), 'smtp', `Give { type: 'http', url }; ${subject} is not asked how fast it is.`);
}

function parseType(reader: OptionReader): ProbeSettings {
  const type = reader.raw('type');
  if (type !== 'smtp' && type !== 'http') fail(reader.pathOf('type'), type, "Give 'smtp' or 'http'.");
  const { probe: defaults } = DEFAULTS.transport;
  const common = {
    every: reader.duration('every', defaults.every, 100),
    timeout: reader.duration('timeout', defaults.timeout, 1),
    onProbeFailure: reader.oneOf('onProbeFailure', ['wait', 'send'], defaults.onProbeFailure),
    ...parseAdmit(reader),
  };
  if (type === 'smtp') return { type, ...common, limits: { maxLatency: parseMaxLatency(reader, common.timeout) } };
  const maxQueue = reader.raw('maxQueue') === undefined ? {} : { maxQueue: reader.integer('maxQueue', 0, 0, 1e9) };
  const token = parseToken(reader);
  return {
    type,
    ...common,
    url: parseUrl(reader),
    ...(token === undefined ? {} : { token }),
    limits: {
      maxLoad: reader.positive('maxLoad', defaults.maxLoad),
      minFreeMemory: reader.integer('minFreeMemory', defaults.minFreeMemory, 0, 99),
      minFreeDisk: reader.integer('minFreeDisk', defaults.minFreeDisk, 0, 99),
      ...maxQueue,
    },
  };
}

function parseAdmit(reader: OptionReader): { admit?: Admit } {
  const admit = reader.raw('admit');
  if (admit === undefined) return {};
  if (typeof admit !== 'function') {
    fail(reader.pathOf('admit'), admit, 'Give a function that takes the figures and returns true or false.');
  }
  return { admit: admit as Admit };
}

function parseMaxLatency(reader: OptionReader, timeout: number): number {
  const given = reader.raw('maxLatency');
  const maxLatency = reader.duration('maxLatency', DEFAULTS.transport.probe.maxLatency, 1);
  if (maxLatency < timeout) return maxLatency;
  // What takes longer than the timeout has not been measured.
  return given === undefined
    ? fail(reader.pathOf('timeout'), timeout, `Give more than maxLatency, which is ${maxLatency} ms.`)
    : fail(reader.pathOf('maxLatency'), given, `Give less than timeout, which is ${timeout} ms.`);
}

function parseUrl(reader: OptionReader): URL {
  const given = reader.string('url');
  const url = given !== undefined && URL.canParse(given) ? new URL(given) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    fail(reader.pathOf('url'), given, 'Give the address of a status page, such as https://mail.internal:8025/status.');
  }
  if (url.username !== '' || url.password !== '') {
    fail(reader.pathOf('url'), given, 'Give it without credentials; a secret is the `token`.');
  }
  return url;
}

function parseToken(reader: OptionReader): string | undefined {
  const token = reader.raw('token');
  if (token === undefined) return undefined;
  // RFC 6750 §2.1. Another character would fail as a header at each request.
  if (typeof token === 'string' && /^[\w.~+/-]+=*$/.test(token)) return token;
  return failUnseen(
    reader.pathOf('token'),
    token,
    "Give what the agent was given: letters, digits and any of '-._~+/'.",
  );
}
