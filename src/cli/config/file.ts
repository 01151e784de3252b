import { access, readFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MailConfigError, reasonOf } from '../../errors.js';
import type { MailModuleRootOptions } from '../../nest/mail.module.js';
import { loadPeer } from '../../peer.js';
import { parseJson } from './json.js';

/** Looked for in the working directory, in this order. */
export const CONFIG_FILES = ['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((extension) => `mail.config.${extension}`);

/** @throws MailConfigError there is no such file as the one that was named */
export async function findConfigFile(cwd: string, named?: string): Promise<string | undefined> {
  for (const name of named === undefined ? CONFIG_FILES : [named]) {
    const path = resolve(cwd, name);
    if (await isThere(path)) return path;
  }
  if (named === undefined) return undefined;
  throw new MailConfigError(`There is no file ${resolve(cwd, named)}, which --config names.`);
}

/**
 * The options that a file exports by default, or that the function does which it exports.
 *
 * @throws MailConfigError it cannot be loaded, or exports something else
 */
export async function loadConfigFile(path: string): Promise<MailModuleRootOptions> {
  const exported = await contentOf(path);
  const options: unknown = typeof exported === 'function' ? await resultOf(exported as () => unknown, path) : exported;
  if (typeof options === 'object' && options !== null && !Array.isArray(options))
    return options as MailModuleRootOptions;
  throw new MailConfigError(
    `${path} exports no options. Export the options of MailModule.forRoot() by default, or a function that returns them.`,
  );
}

async function contentOf(path: string): Promise<unknown> {
  if (extname(path) === '.json') return parseJson(await readFile(path, 'utf8'), path);
  try {
    return defaultOf(await importFile(path));
  } catch (error) {
    if (error instanceof MailConfigError) throw error;
    const [reason = ''] = reasonOf(error).split('\n');
    throw new MailConfigError(`${path}${lineOf(error)} could not be loaded: ${reason}`, { cause: error });
  }
}

async function resultOf(create: () => unknown, path: string): Promise<unknown> {
  try {
    return await create();
  } catch (error) {
    throw new MailConfigError(`The function that ${path} exports failed: ${reasonOf(error)}`, { cause: error });
  }
}

/** TypeScript by Node.js itself where it can (from 22.18 on), else by jiti. */
async function importFile(path: string): Promise<unknown> {
  try {
    return (await import(pathToFileURL(path).href)) as unknown;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== 'ERR_UNKNOWN_FILE_EXTENSION' && code !== 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') throw error;
    const why = `A configuration in TypeScript, on Node.js ${process.versions.node},`;
    const { createJiti } = await loadPeer('jiti', () => import('jiti'), why);
    return createJiti(import.meta.url).import(path);
  }
}

/** What is exported by default; of a module that was compiled to CommonJS, inside what Node.js takes for the default. */
function defaultOf(module: unknown): unknown {
  const exported = (module as { default?: unknown }).default;
  const isCompiled = typeof exported === 'object' && exported !== null && '__esModule' in exported;
  return isCompiled ? (exported as { default?: unknown }).default : exported;
}

/** A syntax error's stack begins with its place. */
function lineOf(error: unknown): string {
  const line = error instanceof SyntaxError ? /^\S+?:(\d+)\n/.exec(error.stack ?? '')?.[1] : undefined;
  return line === undefined ? '' : ` (line ${line})`;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
