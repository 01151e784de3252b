import { join } from 'node:path';
import { buildIfStale } from './lib/build.mjs';
import { installDependencies } from './lib/dependencies.mjs';
import { installServers } from './lib/install-servers.mjs';
import { root } from './lib/root.mjs';
import { runNode } from './lib/run.mjs';
import { main } from './lib/section.mjs';
import { isAvailable, servers } from './lib/servers.mjs';

/** `npm run chaos`: campaigns while processes, stores and mail servers die; `npm run chaos -- --help` lists what can be chosen. */
await main(async () => {
  await installDependencies();
  await buildIfStale();
  await installServers([servers.redis, servers.postgres].filter((server) => !isAvailable(server)));
  const program = join(root, 'test', 'chaos', 'main.ts');
  const { code } = await runNode(['--import', 'tsx', program, ...process.argv.slice(2)], { show: true });
  process.exitCode = code;
});
