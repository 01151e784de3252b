import { Readable } from 'node:stream';
import { run } from '../../src/cli/run.js';
import { Collector } from './collector.js';

/** What a command said, and what the process would end with. */
export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

interface Surrounded {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** What is piped into it. */
  piped?: string;
  /** What a person answers in the terminal that it runs in. */
  answer?: string;
}

/** Runs a command line inside this process. */
export async function runHere(
  args: readonly string[],
  { cwd = '/nowhere', env = {}, piped, answer }: Surrounded = {},
): Promise<Finished> {
  const [stdout, stderr] = [new Collector(), new Collector()];
  const terminal = answer === undefined ? {} : { isTTY: true };
  const stdin = Object.assign(Readable.from([piped ?? `${answer}\n`]), terminal);
  Object.assign(stderr, terminal);
  const given = piped === undefined && answer === undefined ? {} : { stdin };
  const code = await run(args, { stdout, stderr, cwd: () => cwd, env, ...given });
  return { code, stdout: stdout.text, stderr: stderr.text };
}
