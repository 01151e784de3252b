/** Makes `bench/results.md` and `bench/charts` from what all benchmarks have left in `bench/results`. */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { type Result, results } from './benchmark.js';
import { resultsPage } from './results-page.js';
import { versions } from './versions.js';

const charts = new URL('../charts/', import.meta.url);
const page = new URL('../results.md', import.meta.url);

const names = (await readdir(results)).filter((name) => name.endsWith('.json')).sort();
const found = await Promise.all(
  names.map(async (name) => JSON.parse(await readFile(new URL(name, results), 'utf8')) as Result),
);

await rm(charts, { recursive: true, force: true });
await mkdir(charts);
for (const { name, svg } of found.flatMap((result) => result.charts ?? [])) {
  await writeFile(new URL(`${name}.svg`, charts), svg);
}
const text = resultsPage(found, await versions());
await writeFile(page, await format(text, { ...(await resolveConfig(page)), parser: 'markdown' }));
