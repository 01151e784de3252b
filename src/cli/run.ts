import { CommanderError } from 'commander';
import type { Input } from './context.js';
import { Interruption } from './interruption.js';
import { EXIT, exitCodeOf, type ExitCode } from './exit-code.js';
import { Output, type Streams } from './output.js';
import { createProgram, type GlobalOptions } from './program.js';

/** What the command takes from its process. */
export interface Surroundings extends Streams {
  cwd: () => string;
  env: NodeJS.ProcessEnv;
  stdin?: Input;
}

/** Does what a command line asks for, and returns what the process is to end with. Never throws. */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, stderr, cwd, env } = surroundings;
  const streams = { stdout, stderr };
  const output = new Output(streams, argv.includes('--json'), argv.includes('--verbose'));
  // Told as the error of the write that met it.
  stdout.on('error', () => undefined);
  let exitCode: ExitCode = EXIT.ok;
  const program = createProgram(streams, async (job, { config }: GlobalOptions) => {
    const interruption = new Interruption();
    try {
      const places = { cwd: cwd(), env, ...(config === undefined ? {} : { file: config }) };
      exitCode = await job({ output, interruption, input: () => surroundings.stdin, ...places });
    } finally {
      interruption.ignore();
    }
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    // The help was shown already.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    // Whoever read the answer has seen enough of it, such as head(1).
    if ((error as { code?: unknown } | undefined)?.code === 'EPIPE') return EXIT.ok;
    output.fail(error);
    return exitCodeOf(error);
  }
}
