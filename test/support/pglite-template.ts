import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const cache = fileURLToPath(new URL('../../node_modules/.cache/nestjs-priority-mail/', import.meta.url));

/** Makes the data folder that tests copy, once per version of PGlite, and returns its path. */
export async function pgliteTemplate(): Promise<string> {
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite');
  const { version } = createRequire(entry)('../package.json') as { version: string };
  const template = join(cache, `pglite-${version}`);
  if (existsSync(template)) return template;

  // Under another name until complete, since a run may be interrupted. In a process of its own, for its 800 MB.
  const unfinished = `${template}-${process.pid}`;
  await mkdir(cache, { recursive: true });
  const program = `
    const { PGlite } = await import('@electric-sql/pglite');
    await (await PGlite.create(process.argv[1])).close();
  `;
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program, unfinished]);
  await rename(unfinished, template).catch(() => rm(unfinished, { recursive: true, force: true }));
  return template;
}
