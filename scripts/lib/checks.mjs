import { tool } from './root.mjs';
import { runNode } from './run.mjs';
import { SectionFailure, commandSection } from './section.mjs';

/** Heading and command of each check, longest first. That of the package builds it where need be. */
const checks = /** @type {const} */ ([
  ['Lint', [tool('eslint/bin/eslint.js'), '--max-warnings', '0', '.']],
  ['Types', [tool('typescript/bin/tsc'), '--noEmit']],
  ['Format', [tool('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.']],
  ['Package', ['scripts/check-package.mjs']],
  ['Rooms', [tool('dependency-cruiser/bin/dependency-cruise.mjs'), '--config', '.dependency-cruiser.mjs', 'src']],
]);

/**
 * Runs every check, two at a time, also after one has failed, so that one run tells all there is to mend.
 *
 * @param {string[]} [only] names of the checks to run; all when empty
 */
export async function runChecks(only = []) {
  const names = checks.map(([heading]) => heading.toLowerCase());
  const unknown = only.find((name) => !names.includes(name));
  if (unknown) throw new SectionFailure(`There is no check "${unknown}"; there are ${names.join(', ')}.`);

  let failed = false;
  const waiting = checks.filter(([heading]) => only.length === 0 || only.includes(heading.toLowerCase()));
  const work = async () => {
    for (let check = waiting.shift(); check; check = waiting.shift()) {
      const [heading, command] = check;
      try {
        await commandSection(heading, () => runNode([...command]));
      } catch (error) {
        if (!(error instanceof SectionFailure)) throw error;
        console.log(`${error.message}\n`);
        failed = true;
      }
    }
  };
  await Promise.all([work(), work()]);
  if (failed) throw new SectionFailure('Some checks failed; `npm run format` mends formatting.');
}
