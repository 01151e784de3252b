import { performance } from 'node:perf_hooks';

/** What a section reports when it went wrong: the text a person needs to see. */
export class SectionFailure extends Error {}

/**
 * Prints a heading, does the work, and prints how long it took; the work's own output is shown only when it fails.
 *
 * @template T
 * @param {string} heading
 * @param {() => Promise<T>} work throws {@link SectionFailure} with the output to show
 * @returns {Promise<T>}
 */
export async function section(heading, work) {
  process.stdout.write(heading.padEnd(16));
  return timed('', work);
}

/**
 * A section that is one command: quiet when it succeeds, its full output when it does not. Others may run beside it:
 * its heading is printed when it has ended.
 *
 * @param {string} heading
 * @param {() => Promise<import('./run.mjs').Finished>} command
 */
export function commandSection(heading, command) {
  return timed(heading.padEnd(16), async () => {
    const { code, output } = await command();
    if (code !== 0) throw new SectionFailure(output.trim());
  });
}

/**
 * @template T
 * @param {string} before what stands before the time
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function timed(before, work) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  try {
    const result = await work();
    process.stdout.write(`${before}${seconds().padStart(8)}\n`);
    return result;
  } catch (error) {
    process.stdout.write(`${before}failed after ${seconds()}\n\n`);
    throw error;
  }
}

/**
 * Ends the program as its sections went: a failure's text is printed as it is, anything unexpected with its stack.
 *
 * @param {() => Promise<void>} program
 */
export async function main(program) {
  try {
    await program();
  } catch (error) {
    console.error(error instanceof SectionFailure ? error.message : error);
    process.exitCode = 1;
  }
}
