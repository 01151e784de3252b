import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from './command.js';

/**
 * The files in a folder and those below. Links are not followed.
 *
 * @throws Error when a folder cannot be read
 */
export async function countFiles(folder: string, isMessage: (name: string) => boolean = () => true): Promise<number> {
  let count = 0;
  // A queue may hold a million: it is not read into memory.
  for await (const entry of await opendir(folder, { bufferSize: 1_000 })) {
    if (entry.isFile() && isMessage(entry.name)) count++;
    if (entry.isDirectory()) count += await countBelow(join(folder, entry.name), isMessage);
  }
  return count;
}

/** A mail server may remove a folder meanwhile. */
async function countBelow(folder: string, isMessage: (name: string) => boolean): Promise<number> {
  try {
    return await countFiles(folder, isMessage);
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}
