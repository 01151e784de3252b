import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildIfStale } from './lib/build.mjs';
import { tool } from './lib/root.mjs';
import { run, runNode } from './lib/run.mjs';
import { SectionFailure, main } from './lib/section.mjs';

// Looks at the package as its users get it: packed, with whatever `files` left out.
await main(async () => {
  await buildIfStale();
  const folder = mkdtempSync(join(tmpdir(), 'npm-pack-'));
  try {
    await must(run('npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder]));
    const tarball = join(folder, readdirSync(folder)[0] ?? '');
    await must(runNode([tool('publint/src/cli.js'), 'run', tarball, '--strict']));
    await must(runNode([tool('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only', '--no-emoji']));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** @param {Promise<import('./lib/run.mjs').Finished>} command */
async function must(command) {
  const { code, output } = await command;
  if (code !== 0) throw new SectionFailure(output.trim());
}
