import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Several times as long as all tests take, in milliseconds. */
const PATIENCE = 20 * 60_000;
/** Milliseconds. */
const END_WITHIN = 1_000;

/**
 * A reporter for vitest that ends a run which does not end by itself, and tells what had begun. vitest's own limits of time
 * are kept by the process that runs the test, and do not help where that is stuck.
 */
export class HangReporter {
  /** @type {Set<string>} */
  #begun = new Set();

  onInit() {
    setTimeout(() => void this.#giveUp(), PATIENCE).unref();
  }

  /** @param {import('vitest/node').TestModule} file */
  onTestModuleQueued(file) {
    this.#begun.add(file.relativeModuleId);
  }

  /** @param {import('vitest/node').TestModule} file */
  onTestModuleEnd(file) {
    this.#begun.delete(file.relativeModuleId);
  }

  /** @param {import('vitest/node').TestCase} test */
  onTestCaseReady(test) {
    this.#begun.add(nameOf(test));
  }

  /** @param {import('vitest/node').TestCase} test */
  onTestCaseResult(test) {
    this.#begun.delete(nameOf(test));
  }

  async #giveUp() {
    const begun = [...this.#begun].map((name) => `  ${name}`).join('\n') || '  nothing: all tests had ended';
    process.stderr.write(`\nNo end after ${PATIENCE / 60_000} minutes. Begun and not ended:\n${begun}\n`);
    const processes = testProcesses();
    // One that is stuck does not hear the first, which lets the others end their servers.
    for (const signal of /** @type {const} */ (['SIGTERM', 'SIGKILL'])) {
      for (const pid of processes) send(pid, signal);
      await sleep(END_WITHIN);
    }
    process.exit(1);
  }
}

/** @param {import('vitest/node').TestCase} test */
function nameOf(test) {
  return `${test.module.relativeModuleId} > ${test.fullName}`;
}

/** Those that run test files. On Linux alone; elsewhere one that is stuck stays. */
function testProcesses() {
  try {
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ');
    return children.map(Number).filter((pid) => /vitest.*forks/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')));
  } catch {
    return [];
  }
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} signal
 */
function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
