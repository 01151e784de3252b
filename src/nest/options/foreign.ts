import { LANES } from '../../message/message.js';
import type { Carrier } from '../../transport/adapters/carrier.js';
import type { ForeignSettings } from '../../transport/adapters/foreign.js';
import { NestMailCarrier, type NestMailTransport } from '../../transport/adapters/nest-mail.js';
import { isNodemailer, NodemailerCarrier } from '../../transport/adapters/nodemailer.js';
import type { HttpProbeSettings } from '../../transport/probes/open.js';
import type { RateLimitSettings } from '../../transport/rate-limit.js';
import { DEFAULTS } from './defaults.js';
import { parseLanes } from './lanes.js';
import { parseHttpProbe } from './probe.js';
import { parseRateLimit } from './rate-limit.js';
import { fail, OptionReader } from './reader.js';

/** One of somebody else's with its limits, checked. */
export interface ForeignTransportSettings {
  foreign: ForeignSettings;
  carrier: Carrier;
  weight: number;
  rateLimit?: RateLimitSettings;
  probe?: HttpProbeSettings;
}

/** The entry has a transport in it. */
export function isForeign(entry: unknown): boolean {
  return typeof entry === 'object' && entry !== null && 'transport' in entry && !('send' in entry);
}

/**
 * One entry of `transports` that has a `transport`, or what `resolveTransport` gave.
 *
 * @param tenant the name that was looked up
 * @throws MailConfigError
 */
export function parseForeign(entry: unknown, path: string, tenant?: string): ForeignTransportSettings {
  const reader = new OptionReader(entry, path);
  const given = tenant === undefined ? reader.string('name') : (reader.raw('name'), tenant);
  const name = given ?? fail(reader.pathOf('name'), undefined, 'Give it a name.');
  const carrier = parseTransport(reader);
  const region = reader.string('region');
  const lanes = tenant === undefined ? parseLanes(reader) : LANES;
  const { transport: defaults } = DEFAULTS;
  const own = carrier.maxConnections ?? defaults.maxConnections;
  const maxConnections = reader.integer('maxConnections', own, 1, 1_000);
  const weight = tenant === undefined ? reader.integer('weight', defaults.weight, 1, 1_000) : defaults.weight;
  const timeout = reader.duration('timeout', defaults.timeout, 1);
  const rateLimit = parseRateLimit(reader);
  const probe = parseHttpProbe(reader, 'this transport');
  reader.end();
  return {
    // Whoever looks transports up may give the same one again.
    foreign: {
      name,
      lanes,
      maxConnections,
      timeout,
      owned: tenant === undefined,
      ...(region === undefined ? {} : { region }),
    },
    carrier,
    weight,
    ...(rateLimit ? { rateLimit } : {}),
    ...(probe ? { probe } : {}),
  };
}

const REMEDY =
  'Give a transport of @nestjs/mail, such as new ResendTransport({ apiKey }), or one of nodemailer, such as createTransport({ … }).';

function parseTransport(reader: OptionReader): Carrier {
  const value = reader.raw('transport');
  const path = reader.pathOf('transport');
  if (typeof value !== 'object' || value === null) return fail(path, value, REMEDY);
  if (isNodemailer(value)) return new NodemailerCarrier(value);
  const { send, sendMail, lanes, verify } = value as Record<string, unknown>;
  if (typeof send === 'function' && Array.isArray(lanes) && typeof verify === 'function') {
    return fail(path, value, 'It is a transport of this package: give it as the entry itself.');
  }
  if (typeof send !== 'function' || typeof sendMail === 'function') return fail(path, value, REMEDY);
  return new NestMailCarrier(value as NestMailTransport);
}
