import { run } from '../../src/cli/run.js';
import { Collector } from './collector.js';

/** What a command said, and what the process would end with. */
export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command line inside this process. */
export async function runHere(
  args: readonly string[],
  { cwd = '/nowhere', env = {} }: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  const [stdout, stderr] = [new Collector(), new Collector()];
  const code = await run(args, { stdout, stderr, cwd: () => cwd, env });
  return { code, stdout: stdout.text, stderr: stderr.text };
}
