import { runChecks } from './lib/checks.mjs';
import { main } from './lib/section.mjs';

await main(() => runChecks(process.argv.slice(2)));
