import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import { TOKEN_VARIABLE } from './token.js';

/** A command gets no more than this, in milliseconds. */
const COMMAND_TIMEOUT = 30_000;
/** Bytes. A number takes a few. */
const MAX_OUTPUT = 64 * 1024;
/** Where mail servers keep their commands; services do not always look there. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin'];

/** The number that a command prints last. @throws Error when it fails or prints none */
export async function numberFrom(program: string, args: readonly string[]): Promise<number> {
  let output = '';
  await run(program, args, (chunk) => {
    if (output.length < MAX_OUTPUT) output += chunk.toString('latin1');
  });
  const [, digits] = /(?:^|\n)\s*(\d{1,15})\s*$/.exec(output) ?? [];
  if (digits === undefined) throw new Error(`${program} printed no number`);
  return Number(digits);
}

/** How many lines a command prints, however many they are. @throws Error when it fails */
export async function linesFrom(program: string, args: readonly string[]): Promise<number> {
  let lines = 0;
  await run(program, args, (chunk) => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
  });
  return lines;
}

function run(program: string, args: readonly string[], onOutput: (chunk: Buffer) => void): Promise<void> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: environment(),
    timeout: COMMAND_TIMEOUT,
    killSignal: 'SIGKILL',
    windowsHide: true,
  });
  child.stdout.on('data', onOutput);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ended with ${signal ?? code}`));
    });
  });
}

/** Without the token, which is nobody else's business. */
function environment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  delete env[TOKEN_VARIABLE];
  if (process.platform !== 'win32') env['PATH'] = [env['PATH'], ...SYSTEM_FOLDERS].join(delimiter);
  return env;
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
