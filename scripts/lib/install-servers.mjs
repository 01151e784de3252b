import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { run } from './run.mjs';
import { findTool } from './servers.mjs';

/** @typedef {import('./servers.mjs').ServerProgram} ServerProgram */

/**
 * Installs missing servers with the system's package manager where that needs no password and no answer, and leaves
 * none of them running. Elsewhere it does nothing: the caller looks again and says what is missing.
 *
 * @param {ServerProgram[]} missing
 */
export async function installServers(missing) {
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  const asRoot = await rootPrefix();
  if (findTool('apt-get') && asRoot) {
    console.log(`Installing ${names} with apt-get…`);
    await aptInstall(
      missing.map(({ apt }) => apt),
      asRoot,
    );
  } else if (findTool('brew')) {
    console.log(`Installing ${names} with Homebrew…`);
    const env = { NONINTERACTIVE: '1', HOMEBREW_NO_AUTO_UPDATE: '1' };
    await run('brew', ['install', '--quiet', ...missing.map(({ brew }) => brew)], { env });
  }
}

/**
 * What to put before a command to run it as root without being asked for a password.
 *
 * @returns {Promise<string[] | undefined>} undefined when that is not possible
 */
export async function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  const { code } = await run('sudo', ['-n', 'true']);
  return code === 0 ? ['sudo', '-n'] : undefined;
}

/**
 * @param {string[]} packages
 * @param {string[]} prefix
 */
async function aptInstall(packages, prefix) {
  const asRoot = (/** @type {string[]} */ command, input = '') => {
    const [program = '', ...args] = [...prefix, ...command];
    return run(program, args, { input });
  };
  const apt = (/** @type {string[]} */ ...args) =>
    asRoot(['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-y', '-o', 'DPkg::Lock::Timeout=120', ...args]);
  // A machine's own mail server would have to make room for Postfix: --no-remove gives up instead.
  const install = () => apt('install', '--no-install-recommends', '--no-remove', ...packages);

  if (packages.includes('postfix')) {
    await asRoot(['debconf-set-selections'], 'postfix postfix/main_mailer_type select No configuration\n');
  }
  await withoutStartingServices(prefix, async () => {
    // Package lists that are missing or old make the first try fail; fetching them is slow, so only then.
    if ((await install()).code === 0) return;
    await apt('update');
    const { code, output } = await install();
    if (code !== 0) console.log(output.trim());
  });
  if (existsSync('/run/systemd/system')) {
    const services = packages.map((name) => `${name}.service`);
    await asRoot(['systemctl', 'disable', '--now', '--quiet', ...services]);
  }
}

/**
 * Debian's packages start their service when installed unless this policy file forbids it.
 *
 * @param {string[]} prefix
 * @param {() => Promise<void>} work
 */
async function withoutStartingServices(prefix, work) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return work();
  const asRoot = (/** @type {string[]} */ command, input = '') => {
    const [program = '', ...args] = [...prefix, ...command];
    spawnSync(program, args, { input });
  };
  const remove = () => asRoot(['rm', '-f', policy]);
  process.once('exit', remove); // an interrupted run must not leave it behind either
  asRoot(['tee', policy], '#!/bin/sh\nexit 101\n');
  asRoot(['chmod', '755', policy]);
  try {
    await work();
  } finally {
    process.off('exit', remove);
    remove();
  }
}
