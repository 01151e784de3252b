import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './root.mjs';
import { run } from './run.mjs';
import { SectionFailure } from './section.mjs';

/** Installs what package-lock.json lists unless exactly that is installed already. */
export async function installDependencies() {
  if (dependenciesInstalled()) return;
  console.log('Installing dependencies…');
  const { code, output } = await run('npm', ['ci', '--loglevel=error', '--no-audit', '--no-fund']);
  if (code !== 0) throw new SectionFailure(output.trim());
}

/**
 * Compares the lock file with the record npm keeps inside node_modules. Times of files would not do: a fresh checkout
 * of an unchanged lock file is newer than what it describes.
 */
function dependenciesInstalled() {
  const wanted = lockedPackages('package-lock.json');
  const present = lockedPackages(join('node_modules', '.package-lock.json'));
  if (!wanted || !present) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === '' || optional || present[path]?.version === version,
  );
}

/**
 * @param {string} file
 * @returns {Record<string, { version: string, optional?: boolean }> | undefined}
 */
function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}
