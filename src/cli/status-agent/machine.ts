import { readFile, statfs } from 'node:fs/promises';
import { freemem, loadavg, platform, totalmem } from 'node:os';

/** Load average of the last minute; undefined on Windows, which has none. */
export function loadAverage(): number | undefined {
  return platform() === 'win32' ? undefined : loadavg()[0];
}

/** Memory that programs can still get, in percent; undefined where the system does not tell. */
export async function freeMemory(): Promise<number | undefined> {
  if (platform() === 'linux') return availableIn(await readFile('/proc/meminfo', 'utf8'));
  // Elsewhere than on Windows it leaves out what the caches would give back at once.
  return platform() === 'win32' ? percent(freemem(), totalmem()) : undefined;
}

/** @param meminfo the text of /proc/meminfo (proc_meminfo(5)) */
export function availableIn(meminfo: string): number | undefined {
  const [available, total] = ['MemAvailable', 'MemTotal'].map((name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1]),
  );
  return percent(available!, total!);
}

/** Free space of the disk that a folder lies on, for others than root, in percent. @throws Error */
export async function freeDisk(folder: string): Promise<number | undefined> {
  const { blocks, bfree, bavail } = await statfs(folder);
  return percent(bavail, blocks - bfree + bavail);
}

function percent(part: number, whole: number): number | undefined {
  const share = Math.round((part / whole) * 1_000) / 10;
  return Number.isFinite(share) ? Math.min(100, Math.max(0, share)) : undefined;
}
