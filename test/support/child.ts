import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { atEnd, lastResort } from './cleanup.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface TsChild {
  readonly pid: number;
  /** Resolves when the program has ended and all it printed has been read. */
  readonly exit: Promise<ChildExit>;
  /** All it has printed so far, line by line, both streams in order of arrival. */
  readonly lines: readonly string[];
  /**
   * Waits for a line, looking first at those printed already. Each call goes on after the line the last one found.
   *
   * @param within milliseconds, default 20,000
   * @throws when the program ends, or time is up, without such a line
   */
  line(wanted: RegExp | ((line: string) => boolean), within?: number): Promise<string>;
  /** Writes a line to its standard input. */
  write(line: string): void;
  /** Sends a signal, default SIGKILL, and waits for the end; SIGSTOP and SIGCONT return at once. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Runs a TypeScript program in a process of its own, killed at the latest when the test file ends. It is a single
 * process, so a signal reaches the program itself. Types of constructor parameters are not emitted there: what Nest
 * injects in such a program needs an explicit `@Inject()`. One in JavaScript starts in half the time.
 *
 * @param file the program; `new URL('./worker.ts', import.meta.url)` finds it beside the test
 */
export function spawnTs(file: URL | string, args: string[] = [], env: NodeJS.ProcessEnv = {}): TsChild {
  const path = file instanceof URL ? fileURLToPath(file) : file;
  const compiler = path.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const child = spawn(process.execPath, ['--enable-source-maps', ...compiler, path, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const events = new EventEmitter();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      events.emit('change');
    });
  }
  // A program that has ended no longer reads what is written to it.
  child.stdin.on('error', () => undefined);

  let ended: ChildExit | undefined;
  const exit = once(child, 'close').then(([code, signal]): ChildExit => {
    forget();
    ended = { code: code as number | null, signal: signal as NodeJS.Signals | null };
    events.emit('change');
    return ended;
  });
  const forget = lastResort(() => child.kill('SIGKILL'));
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await exit;
  };
  atEnd(kill);

  let read = 0;
  return {
    pid: child.pid ?? 0,
    exit,
    lines,
    async line(wanted, within = 20_000) {
      const matches = wanted instanceof RegExp ? (line: string) => wanted.test(line) : wanted;
      const deadline = AbortSignal.timeout(within);
      for (;;) {
        const found = lines.findIndex((line, index) => index >= read && matches(line));
        if (found >= 0) {
          read = found + 1;
          return lines[found] ?? '';
        }
        if (ended) throw new Error(`It ended (${ended.signal ?? ended.code}) without that line:\n${lines.join('\n')}`);
        await once(events, 'change', { signal: deadline }).catch(() => {
          throw new Error(`No such line within ${within} ms:\n${lines.join('\n')}`);
        });
      }
    },
    write: (line) => void child.stdin.write(`${line}\n`),
    kill,
  };
}
