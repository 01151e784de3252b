import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const folder = new URL('../peers/', import.meta.url);

interface PackageFile {
  version?: string;
  dependencies?: Record<string, string>;
}

/** Installs the packages of `bench/peers` unless they are there in the versions it names. */
export async function installPeers(): Promise<void> {
  const { dependencies = {} } = (await readPackage('')) ?? {};
  const present = await Promise.all(
    Object.entries(dependencies).map(
      async ([name, version]) => (await readPackage(`node_modules/${name}/`))?.version === version,
    ),
  );
  if (present.every(Boolean)) return;
  console.log('Installing what is compared with…');
  await promisify(execFile)('npm', ['install'], { cwd: fileURLToPath(folder) });
}

/** Loads a package of `bench/peers`, which need not be installed when types are checked. */
export function loadPeerPackage<T>(name: string): T {
  return createRequire(new URL('package.json', folder))(name) as T;
}

async function readPackage(path: string): Promise<PackageFile | undefined> {
  const text = await readFile(new URL(`${path}package.json`, folder), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as PackageFile);
}
