import { buildIfStale } from './lib/build.mjs';
import { installDependencies } from './lib/dependencies.mjs';
import { main } from './lib/section.mjs';

await main(async () => {
  await installDependencies();
  await buildIfStale();
});
