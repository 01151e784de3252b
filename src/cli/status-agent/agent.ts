import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIPv6, type AddressInfo, type Server } from 'node:net';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { MailConfigError, reasonOf } from '../../errors.js';
import { openMailServer, type MailServerName } from './open-mail-server.js';
import { StatusReader } from './status.js';
import { isLoopback, openAdmission, type Admission, type TokenOptions } from './token.js';

/** What is not given. */
export const AGENT_DEFAULTS = { host: '127.0.0.1', port: 8026, mailServer: 'auto' } as const;

/** How the status agent runs. */
export interface StatusAgentOptions extends TokenOptions {
  /** The address to listen on. Default `127.0.0.1`. */
  host?: string | undefined;
  /** Default 8026; 0 for any that is free. */
  port?: number | undefined;
  /** For TLS: files with the certificate chain and its key, in PEM. */
  cert?: string | undefined;
  key?: string | undefined;
  /** Default `auto`: the one that is installed. */
  mailServer?: MailServerName | undefined;
  /** The folder on whose disk the queue lies. Default: that of the mail server. */
  spool?: string | undefined;
  /** A folder whose messages are counted instead of asking the mail server. */
  queueDir?: string | undefined;
  /** Told what cannot be read, or is not safe. Default: it is printed on standard error. */
  onProblem?: ((message: string) => void) | undefined;
}

export interface StatusAgent {
  /** Of the status. */
  readonly url: string;
  close(): Promise<void>;
}

/** Whoever is slow, or stays for long, makes place for others. */
const PATIENCE: ServerOptions = {
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 15_000,
  maxHeaderSize: 8 * 1024,
};
const HANDSHAKE_TIMEOUT = 5_000;
const MAX_CONNECTIONS = 1_000;

/**
 * Answers over HTTP how loaded this machine and its mail server are, for the `probe` of a transport. It needs neither Nest nor
 * a store.
 *
 * @throws MailConfigError the options are wrong, or the token is missing
 * @throws Error the port is taken
 */
export async function startStatusAgent(options: StatusAgentOptions = {}): Promise<StatusAgent> {
  const { host = AGENT_DEFAULTS.host, port = AGENT_DEFAULTS.port, onProblem = console.error } = options;
  const { mailServer = AGENT_DEFAULTS.mailServer } = options;
  const admits = await openAdmission(options, host);
  const tls = await readTls(options);
  if (!tls && !isLoopback(host)) {
    onProblem('The token crosses the network unencrypted. Give the agent cert and key, or a network of its own.');
  }
  const status = new StatusReader(openMailServer(mailServer, options), onProblem);
  const listener: RequestListener = ({ method, url, headers }, response) => {
    void respond(response, { method, path: url?.replace(/\?.*$/s, ''), token: headers.authorization }, admits, status);
  };
  const server = tls ? createTlsServer({ ...PATIENCE, ...tls }, listener) : createServer(PATIENCE, listener);
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(port, host);
  await once(server, 'listening');
  status.start();
  return {
    url: urlOf(server, host, tls !== undefined),
    async close() {
      status.stop();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Asked {
  method: string | undefined;
  path: string | undefined;
  token: string | undefined;
}

async function respond(
  response: ServerResponse,
  { method, path, token }: Asked,
  admits: Admission,
  status: StatusReader,
): Promise<void> {
  if (path !== '/status' && path !== '/healthz') return end(response, 404);
  if (method !== 'GET') return end(response.setHeader('allow', 'GET'), 405);
  if (path === '/healthz') return end(response, 200, { status: 'ok' });
  if (!admits(token)) return end(response.setHeader('www-authenticate', 'Bearer'), 401);
  return end(response, 200, await status.get());
}

function end(response: ServerResponse, code: number, body?: object): void {
  response.writeHead(code, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(body && JSON.stringify(body));
}

/** @throws MailConfigError one of them is missing, or cannot be read */
async function readTls({ cert, key }: StatusAgentOptions): Promise<TlsOptions | undefined> {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new MailConfigError('TLS needs both a cert and a key.');
  try {
    const options = { cert: await readFile(cert), key: await readFile(key), handshakeTimeout: HANDSHAKE_TIMEOUT };
    createSecureContext(options);
    return options;
  } catch (error) {
    throw new MailConfigError(`The certificate or its key cannot be used: ${reasonOf(error)}`, { cause: error });
  }
}

function urlOf(server: Server, host: string, tls: boolean): string {
  const { port } = server.address() as AddressInfo;
  return `${tls ? 'https' : 'http'}://${isIPv6(host) ? `[${host}]` : host}:${port}/status`;
}
