import { tool } from './root.mjs';
import { runNode } from './run.mjs';
import { SectionFailure, commandSection } from './section.mjs';

/** Heading and command of each check, cheapest first. */
const checks = /** @type {const} */ ([
  ['Format', [tool('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.']],
  ['Rooms', [tool('dependency-cruiser/bin/dependency-cruise.mjs'), '--config', '.dependency-cruiser.mjs', 'src']],
  ['Types', [tool('typescript/bin/tsc'), '--noEmit']],
  ['Lint', [tool('eslint/bin/eslint.js'), '--max-warnings', '0', '.']],
  ['Package', ['scripts/check-package.mjs']],
]);

/**
 * Runs every check, also after one has failed, so that one run tells all there is to mend.
 *
 * @param {string[]} [only] names of the checks to run; all when empty
 */
export async function runChecks(only = []) {
  const names = checks.map(([heading]) => heading.toLowerCase());
  const unknown = only.find((name) => !names.includes(name));
  if (unknown) throw new SectionFailure(`There is no check "${unknown}"; there are ${names.join(', ')}.`);

  let failed = false;
  for (const [heading, command] of checks) {
    if (only.length > 0 && !only.includes(heading.toLowerCase())) continue;
    try {
      await commandSection(heading, () => runNode([...command]));
    } catch (error) {
      if (!(error instanceof SectionFailure)) throw error;
      console.log(`${error.message}\n`);
      failed = true;
    }
  }
  if (failed) throw new SectionFailure('Some checks failed; `npm run format` mends formatting.');
}
