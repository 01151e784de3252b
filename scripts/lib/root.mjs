import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * The path of a development tool's command, run by `node` directly so that no shell or npm stands in between.
 *
 * @param {string} path relative to `node_modules`
 */
export function tool(path) {
  return join(root, 'node_modules', path);
}
