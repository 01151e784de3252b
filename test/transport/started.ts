import { vi } from 'vitest';
import type { TransportError } from '../../src/transport/transport.js';
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from '../support/scripted-smtp.js';
import { smtpTransport } from './smtp.js';

type Options = Parameters<typeof smtpTransport>[1];

/** A transport to this URL that has opened what it keeps, and what it has told. */
export async function started(url: string, options: Options = {}) {
  const transport = smtpTransport(url, { minWarm: 1, ...options });
  const failures: TransportError[] = [];
  const roundTrips: number[] = [];
  await transport.start({
    roundTrip: (milliseconds) => roundTrips.push(milliseconds),
    connectFailed: (error) => failures.push(error),
  });
  return { transport, failures, roundTrips };
}

/** The same with a server of its own. */
export async function startedScript(script: SmtpScript = {}, options: Options = {}) {
  const server = await startScriptedSmtp(script);
  return { server, ...(await started(server.url, options)) };
}

/** How often clients have sent this command. */
export const count = (server: ScriptedSmtp, verb: string) =>
  server.commands.filter((line) => line.startsWith(verb)).length;

/** The pool's clock; sockets and the tests' own waiting go by the real one. */
export const fakeTimers = () => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
