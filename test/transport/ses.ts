import { onTestFinished } from 'vitest';
import { LANES } from '../../src/message/message.js';
import type { SesTransportOptions } from '../../src/transport/ses/options.js';
import { SesTransport } from '../../src/transport/ses/transport.js';
import type { Acceptance, Outgoing, SendOptions } from '../../src/transport/transport.js';
import { SES_KEY } from '../support/ses-stub.js';
import { mail } from './smtp.js';

/** The options of a transport to this stub. */
export function sesOptions(endpoint: string, options: Partial<SesTransportOptions> = {}): SesTransportOptions {
  return {
    name: 'ses',
    lanes: LANES,
    maxConnections: 5,
    connectTimeout: 10_000,
    timeout: 10_000,
    awsRegion: 'eu-west-1',
    endpoint,
    credentials: SES_KEY,
    tags: {},
    followsRate: false,
    ...options,
  };
}

/** A transport to this stub, closed when the test ends. */
export function sesTransport(endpoint: string, options: Partial<SesTransportOptions> = {}): SesTransport {
  const transport = new SesTransport(sesOptions(endpoint, options));
  onTestFinished(() => transport.close(0));
  return transport;
}

/** Sends and forgets about deadlines, unless it is told some. */
export function sendBy(
  transport: SesTransport,
  outgoing: Outgoing = mail(),
  options: Partial<SendOptions> = {},
): Promise<Acceptance> {
  return transport.send(outgoing, { lane: 'priority', signal: new AbortController().signal, ...options });
}
