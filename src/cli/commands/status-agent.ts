import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import type { MailServerName } from '../status-agent/open-mail-server.js';

/** The options of `status-agent`. */
export interface StatusAgentSettings {
  host?: string;
  port?: number;
  mailServer?: MailServerName;
  spool?: string;
  queueDir?: string;
  tokenFile?: string;
  /** False for `--no-token`. */
  token: boolean;
  cert?: string;
  key?: string;
}

/** Runs beside any mail server, also one without a mail configuration: it loads neither that nor Nest. */
export async function statusAgent(
  { output, interruption }: Context,
  { token, ...options }: StatusAgentSettings,
): Promise<ExitCode> {
  const { startStatusAgent } = await import('../status-agent/agent.js');
  const onProblem = (problem: string): void => output.tell(`warning: ${problem}`);
  const agent = await startStatusAgent({ ...options, noToken: !token, onProblem });
  const text = (): string => `The status agent answers at ${agent.url} until SIGTERM or Ctrl-C.`;
  output.print({ document: { url: agent.url }, text });
  await interruption.came;
  await agent.close();
  return EXIT.ok;
}
