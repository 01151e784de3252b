import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import { freePort } from './free-port.js';
import { greets } from './mail-server.js';
import { ServerProcess } from './server-process.js';

export interface SmtpSink {
  readonly url: string;
  readonly port: number;
  /** Messages taken so far. */
  readonly messages: number;
  stop(): Promise<void>;
}

/** Whether this machine has smtp-sink; `it.skipIf(!hasSmtpSink())`, which `npm test` reports. */
export function hasSmtpSink(): boolean {
  return findProgram(servers.smtpSink) !== undefined;
}

/**
 * Starts Postfix's smtp-sink, which takes mail faster than any client sends it and throws it away.
 *
 * @param args further arguments of smtp-sink, such as `['-w', '1']` to answer DATA a second late or `['-p']` to hide
 * PIPELINING
 */
export async function startSmtpSink({ args = [] }: { args?: string[] } = {}): Promise<SmtpSink> {
  const command = findProgram(servers.smtpSink);
  if (!command) throw new Error("This needs Postfix's smtp-sink on this machine");

  const port = await freePort();
  // It wants to be told whom to become when it is started by root.
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const server = new ServerProcess({
    command,
    args: ['-c', '-m', '1000', ...user, ...args, `127.0.0.1:${port}`, '1000'],
    ready: () => greets(port),
  });
  await server.start();
  return {
    url: `smtp://127.0.0.1:${port}`,
    port,
    get messages() {
      return Number(/.*mesg=(\d+)/s.exec(server.output)?.[1] ?? 0);
    },
    stop: () => server.end('SIGTERM'),
  };
}
