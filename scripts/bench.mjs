import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildIfStale } from './lib/build.mjs';
import { installDependencies } from './lib/dependencies.mjs';
import { installServers } from './lib/install-servers.mjs';
import { root } from './lib/root.mjs';
import { runNode } from './lib/run.mjs';
import { SectionFailure, main } from './lib/section.mjs';
import { isAvailable, servers } from './lib/servers.mjs';

const folder = join(root, 'bench');
// Without the paths of tsconfig.json, benchmarks import the built package, as applications do.
const env = { TSX_TSCONFIG_PATH: join(folder, 'tsconfig.run.json'), NODE_ENV: 'production' };

/**
 * `npm run bench` runs every benchmark, one after the other, and writes down what they found; `npm run bench -- <name>…` runs
 * some. `--quick` is a short try.
 */
await main(async () => {
  const all = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'main.ts')));
  const wanted = process.argv.slice(2).filter((argument) => argument !== '--quick');
  const flags = process.argv.includes('--quick') ? ['--quick'] : [];
  const unknown = wanted.find((name) => !all.includes(name));
  if (unknown) throw new SectionFailure(`There is no benchmark "${unknown}"; there are ${all.join(', ')}.`);

  await installDependencies();
  await buildIfStale();
  await installServers([servers.redis, servers.postgres, servers.smtpSink].filter((server) => !isAvailable(server)));
  console.log(`Benchmarks: ${all.join(', ')}\n`);
  const publishes = wanted.length === 0 && flags.length === 0;
  if (publishes) rmSync(join(folder, 'results'), { recursive: true, force: true });
  for (const name of wanted.length > 0 ? wanted : all) {
    const { code } = await runNode(['--import', 'tsx', join(folder, name, 'main.ts'), ...flags], { show: true, env });
    if (code !== 0) process.exitCode = 1;
  }
  if (!publishes) return;
  const { code, output } = await runNode(['--import', 'tsx', join(folder, 'lib', 'publish.ts')], { env });
  if (code !== 0) throw new SectionFailure(output);
  console.log('Written: bench/results.md and bench/charts');
});
