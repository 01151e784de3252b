import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { rootPrefix } from './install-servers.mjs';
import { root } from './root.mjs';
import { run } from './run.mjs';
import { findTool } from './servers.mjs';

/**
 * Debian lets a machine have one mail server only, and starts what it installs. Exim beside Postfix, and what Postfix
 * checks passwords with, are therefore unpacked into the repository. Exim insists on a user of its own, which the
 * wrapper makes up.
 */
const packages = ['exim4-daemon-light', 'libnss-wrapper', 'sasl2-bin', 'libsasl2-modules', 'libsasl2-modules-db'];

/** The folder that stands for `/` in the unpacked packages; it exists when they are complete. */
export const debianRoot = join(root, 'node_modules/.cache/nestjs-priority-mail', `debian-${key()}`);

export function hasDebianPackages() {
  return existsSync(debianRoot);
}

/**
 * The folders of shared libraries below a copy of {@link debianRoot}.
 *
 * @param {string} [folder]
 */
export function libraryFolders(folder = debianRoot) {
  return ['usr/lib', 'lib'].flatMap((name) => {
    const parent = join(folder, name);
    if (!existsSync(parent)) return [];
    return readdirSync(parent)
      .filter((child) => child.includes('-linux-'))
      .map((child) => join(parent, child));
  });
}

/**
 * Fetches and unpacks the packages once, without installing anything. A machine without apt-get does without them.
 *
 * @returns {Promise<string | undefined>} what went wrong
 */
export async function unpackDebianPackages() {
  if (hasDebianPackages() || !findTool('apt-get')) return undefined;
  console.log('Fetching Exim and Cyrus SASL with apt-get…');
  const downloads = `${debianRoot}-${process.pid}`;
  const unpacked = join(downloads, 'root');
  mkdirSync(unpacked, { recursive: true });
  try {
    await download(downloads);
    for (const name of archivesIn(downloads)) await must('dpkg-deb', '-x', join(downloads, name), unpacked);
    // Exim's program runs as root, whoever starts it, unless that is taken from it.
    await must('chmod', '-R', 'u-s,g-s,a+rX', unpacked);
    if (!hasDebianPackages()) renameSync(unpacked, debianRoot);
    return undefined;
  } catch (error) {
    return `Exim and Cyrus SASL could not be fetched with apt-get:\n${error instanceof Error ? error.message : error}`;
  } finally {
    rmSync(downloads, { recursive: true, force: true });
  }
}

/** @param {string} folder gets the packages and the libraries they need and this machine does not have */
async function download(folder) {
  const fetch = (/** @type {string[]} */ names) =>
    must('env', `--chdir=${folder}`, 'apt-get', '-o', 'Acquire::Retries=3', 'download', ...names);
  try {
    await fetch(packages);
  } catch {
    // Package lists that are missing or old are the likely reason.
    const asRoot = await rootPrefix();
    if (asRoot) await must(...asRoot, 'apt-get', 'update');
    await fetch(packages);
  }
  const needed = new Set();
  for (const name of archivesIn(folder)) {
    const depends = await must('dpkg-deb', '--field', join(folder, name), 'Depends');
    for (const dependency of depends.split(',')) needed.add(/^lib[^\s:|]+/.exec(dependency.trim())?.[0]);
  }
  for (const name of [undefined, 'libc6', ...packages]) needed.delete(name);
  const plan = await must('apt-get', '--simulate', '--no-install-recommends', '--no-upgrade', 'install', ...needed);
  const libraries = [...plan.matchAll(/^Inst (lib\S+)/gm)].map(([, name]) => name).filter((name) => name !== 'libc6');
  if (libraries.length > 0) await fetch(/** @type {string[]} */ (libraries));
}

/** @param {string} folder */
function archivesIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith('.deb'));
}

/** @param {string[]} command */
async function must(...command) {
  const [program = '', ...args] = command;
  const { code, output } = await run(program, args, { env: { LC_ALL: 'C' } });
  if (code !== 0) throw new Error(output.trim());
  return output;
}

/** Other packages, another release or another processor need other files. */
function key() {
  const file = '/etc/os-release';
  const release = existsSync(file) ? /^VERSION_ID=.*$/m.exec(readFileSync(file, 'utf8')) : '';
  return createHash('sha256').update(`${release} ${process.arch} ${packages}`).digest('hex').slice(0, 12);
}
