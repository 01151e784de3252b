import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-code.js';

/** The options of `status-agent`. */
export interface StatusAgentSettings {
  host: string;
  port: number;
  mailServer: string;
  spool?: string;
  queueDir?: string;
  tokenFile?: string;
  /** False for `--no-token`. */
  token: boolean;
  cert?: string;
  key?: string;
}

/** Where the caller's token stands unless a file is named: a process's arguments can be read by others. */
const TOKEN = 'PRIORITY_MAIL_AGENT_TOKEN';

/** Beside any mail server, also one without a mail configuration: it loads neither that nor Nest. */
export async function statusAgent(
  { output, interruption, env }: Context,
  settings: StatusAgentSettings,
): Promise<ExitCode> {
  const { startStatusAgent } = await loadAgent();
  const { token, ...options } = settings;
  const agent = await startStatusAgent({
    ...options,
    ...(token ? {} : { noToken: true }),
    ...(token && options.tokenFile === undefined && env[TOKEN] ? { token: env[TOKEN] } : {}),
  });
  output.print({ url: agent.url }, () => `The status agent answers at ${agent.url} until SIGTERM or Ctrl-C.`);
  await interruption.came;
  await agent.close();
  return EXIT.ok;
}

interface StatusAgentOptions extends Omit<StatusAgentSettings, 'token'> {
  token?: string;
  noToken?: boolean;
}

interface StatusAgentModule {
  startStatusAgent(options: StatusAgentOptions): Promise<{ url: string; close(): Promise<void> }>;
}

async function loadAgent(): Promise<StatusAgentModule> {
  const path = '../status-agent/agent.js';
  return (await import(path)) as StatusAgentModule;
}
