import { spawn } from 'node:child_process';
import { root } from './root.mjs';

/**
 * @typedef {object} Finished
 * @property {number} code exit code; 1 when a signal ended the program or it could not be started
 * @property {string} output everything it printed, both streams in order of arrival
 */

/** Output that is kept goes where ours goes, which the program that prints it cannot see. */
const colours = process.stdout.isTTY
  ? { FORCE_COLOR: '1', NO_COLOR: undefined }
  : { FORCE_COLOR: undefined, NO_COLOR: '1' };

/**
 * Runs a program to its end without a terminal, so that it can never ask a question, and keeps what it prints.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, input?: string, show?: boolean }} [options] `show` lets it print directly
 * @returns {Promise<Finished>}
 */
export function run(command, args, { env, input, show = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...(show ? {} : colours), ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
    });
    let output = '';
    const collect = (/** @type {string} */ text) => (output += text);
    child.stdout?.setEncoding('utf8').on('data', collect);
    child.stderr?.setEncoding('utf8').on('data', collect);
    child.stdin?.end(input);

    // A run cut short still shows what it had to say: that is where a hang is found.
    const cutShort = (/** @type {NodeJS.Signals} */ signal) => {
      child.kill(signal);
      process.stdout.write(`\n${output}\n`);
      process.exit(1);
    };
    process.once('SIGINT', cutShort).once('SIGTERM', cutShort);
    const settle = (/** @type {number} */ code) => {
      process.off('SIGINT', cutShort).off('SIGTERM', cutShort);
      resolve({ code, output });
    };
    child.once('error', (error) => {
      output += `${error.message}\n`;
      settle(1);
    });
    child.once('close', (code) => settle(code ?? 1));
  });
}

/**
 * Runs one of the repository's own tools on this very Node.js.
 *
 * @param {string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export function runNode(args, options) {
  return run(process.execPath, args, options);
}
