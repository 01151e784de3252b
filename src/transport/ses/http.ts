import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Lane } from '../../message/message.js';
import type { Exchange } from './exchange.js';

/** Of the SDK: a request that it has signed. */
export interface SignedRequest {
  method: string;
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
}

/** What the SDK reads of an answer. */
export interface HttpAnswer {
  response: { statusCode: number; headers: Record<string, string>; body: Uint8Array };
}

export interface HttpSettings {
  /** Connections of each lane. */
  maxConnections: number;
  /** Milliseconds. */
  connectTimeout: number;
  /** Milliseconds of silence. */
  timeout: number;
}

/** An unused connection is closed before the server does, which could cross with a request. Milliseconds. */
const IDLE = 20_000;
/** SES answers with some hundred bytes. */
const LONGEST_ANSWER = 1024 * 1024;

/**
 * Carries the SDK's requests, in place of its own handler: each lane has connections of its own, and the moment is known from
 * which a request may have been read.
 */
export class SesHttp {
  private readonly agents = new Map<string, HttpAgent>();
  private readonly connected = new WeakSet<object>();

  constructor(private readonly settings: HttpSettings) {}

  /** @throws Error the connection's, or the exchange's; whether it has begun tells what is known of the request */
  handle(request: SignedRequest, { exchange }: { exchange: Exchange }): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (exchange.signal.aborted) return reject(exchange.signal.reason as Error);
      const secure = request.protocol === 'https:';
      const sent = (secure ? httpsRequest : httpRequest)({
        method: request.method,
        host: request.hostname.replace(/^\[(.*)\]$/, '$1'),
        ...(request.port === undefined ? {} : { port: request.port }),
        path: request.path,
        headers: request.headers,
        agent: this.agentOf(exchange.lane, secure),
      });
      const abort = (): void => void sent.destroy(exchange.signal.reason as Error);
      exchange.signal.addEventListener('abort', abort, { once: true });
      sent.once('close', () => exchange.signal.removeEventListener('abort', abort));
      sent.on('error', reject);
      sent.once('response', (response) => {
        collect(response).then((body) => resolve({ response: { ...headOf(response), body } }), reject);
      });
      this.whenConnected(sent, secure, () => {
        try {
          exchange.begin();
        } catch (error) {
          return void sent.destroy(error as Error);
        }
        sent.end(request.body);
      });
    });
  }

  /** The SDK asks for it. */
  httpHandlerConfigs(): object {
    return {};
  }

  /** The SDK's settings are for its own handler. */
  updateHttpClientConfig(): void {
    // Nothing of it can be set from there.
  }

  destroy(): void {
    for (const agent of this.agents.values()) agent.destroy();
  }

  /** Nothing is written until the connection stands: what fails before that was surely not read. */
  private whenConnected(sent: ClientRequest, secure: boolean, connected: () => void): void {
    const { connectTimeout, timeout } = this.settings;
    sent.once('socket', (socket) => {
      // It was lost at this moment, while it lay idle.
      if (socket.destroyed) return void sent.destroy(new Error('The connection was lost'));
      sent.setTimeout(timeout, () => sent.destroy(new Error(`No answer within ${timeout} ms`)));
      if (this.connected.has(socket)) return connected();
      const timer = setTimeout(
        () => sent.destroy(new Error(`No connection within ${connectTimeout} ms`)),
        connectTimeout,
      );
      sent.once('close', () => clearTimeout(timer));
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer);
        this.connected.add(socket);
        connected();
      });
    });
  }

  private agentOf(lane: Lane, secure: boolean): HttpAgent {
    const key = `${lane} ${secure}`;
    let agent = this.agents.get(key);
    if (!agent) {
      const options = { keepAlive: true, maxSockets: this.settings.maxConnections, timeout: IDLE, noDelay: true };
      this.agents.set(key, (agent = secure ? new HttpsAgent(options) : new HttpAgent(options)));
    }
    return agent;
  }
}

function headOf({ statusCode = 0, headers }: IncomingMessage): { statusCode: number; headers: Record<string, string> } {
  const entries = Object.entries(headers).map(([name, value = '']) => [name, String(value)] as const);
  return { statusCode, headers: Object.fromEntries(entries) };
}

async function collect(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    length += part.length;
    if (length > LONGEST_ANSWER) throw new Error(`The answer is longer than ${LONGEST_ANSWER} bytes`);
  }
  return Buffer.concat(parts);
}
