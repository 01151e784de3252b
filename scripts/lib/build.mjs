import { chmodSync, existsSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { root, tool } from './root.mjs';
import { runNode } from './run.mjs';
import { SectionFailure } from './section.mjs';

const dist = join(root, 'dist');
const entry = join(dist, 'index.js');
const command = join(dist, 'cli', 'main.js');
const inputs = ['src', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];

/** Compiles src to dist from scratch, so that no file of a removed source stays behind. */
export async function build() {
  const started = new Date();
  rmSync(dist, { recursive: true, force: true });
  const { code, output } = await runNode([tool('typescript/bin/tsc'), '--project', 'tsconfig.build.json']);
  if (code !== 0) {
    rmSync(dist, { recursive: true, force: true });
    throw new SectionFailure(output.trim());
  }
  chmodSync(command, 0o755);
  // The entry carries the time at which the sources were read, so that an edit made meanwhile makes it stale.
  if (existsSync(entry)) utimesSync(entry, started, started);
}

/** Builds unless dist was made from the sources as they are now. */
export async function buildIfStale() {
  const changed = Math.max(...inputs.map((path) => newest(join(root, path))));
  const built = statSync(entry, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (built < changed) await build();
}

/**
 * The time of the newest change at or below a path. A folder's own time counts, because it tells of removed files.
 *
 * @param {string} path
 * @returns {number} milliseconds; 0 when there is no such path
 */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}
