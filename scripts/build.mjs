import { build } from './lib/build.mjs';
import { main } from './lib/section.mjs';

await main(build);
